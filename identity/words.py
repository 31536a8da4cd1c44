"""Why this module exists: the words of nicknames. Changing, adding or reordering one renames every peer: never do."""

_ADJECTIVES = """
able agile airy alert amber ample apt arctic ardent artful astral avid azure balmy beaming blithe blooming blue bold
bonny bouncy brainy brave breezy bright brisk bubbly buoyant busy calm candid careful caring cheerful cheery chipper
chirpy civil classy clean clear clever comfy cool copper coral cosmic cosy cozy crafty crimson crisp cuddly curious
curly dainty dapper daring dashing dazzling deft dreamy dynamic eager early earnest earthy easy elegant emerald epic
exact fabled fair famous fancy fearless festive fine fizzy fleet floral fluffy flying fond frank free fresh friendly
frosty fruity funky funny gallant generous genial gentle giddy gifted giving glad gleaming glossy glowing golden
good graceful grand grateful great green groovy handy happy hardy hazel hearty helpful heroic honest hopeful humble
indigo inky iron ivory jade jaunty jazzy jolly jovial joyful jubilant keen kind lavender leafy lemon level light
lilac limber lime lithe lively loving loyal lucid lucky lunar magenta magic maple marble mellow merry mighty mild
minty misty modest mossy musical neat nifty nimble noble nutty olive opal open orange patient peaceful peachy pearly
peppy perky placid plucky plum plush poetic polar polite posh prancing primal prime proud prudent purple quaint
quick quiet quirky radiant rapid rare ready rosy royal ruby russet rustic sage sandy satin savvy scarlet serene
sharp shiny silent silken silky silver sincere sleek smart smiling smooth snappy snowy snug social soft solar solid
sonic spicy spry stable starry steady stellar stout sturdy subtle sunny super supple sure swift tawny teal tender
thankful thrifty tidy tiny topaz tranquil trim true trusty upbeat urban valiant velvet verdant vital vivid warm wavy
wise witty woolly worthy zany zealous zen zesty zippy
"""

_ANIMALS = """
aardvark albatross alpaca anchovy ant anteater antelope armadillo auk avocet axolotl badger bandicoot barbet
barnacle bat beagle bear beaver bee beetle beluga bettong bilby bison bittern blackbird bluebird bluejay bobcat
bongo bonobo booby buffalo bullfinch bumblebee bunny bunting butterfly buzzard camel canary capybara caracal
cardinal caribou cat catfish chaffinch chamois cheetah chickadee chicken chinchilla chipmunk cicada civet clam
cockatoo cod colt condor coot cormorant cougar cow coyote crab crane crayfish cricket crow cuckoo curlew dingo dodo
dolphin donkey dormouse dove dragonfly duck dugong dunlin eagle echidna eel egret eland elephant elk emu ermine
falcon fawn ferret finch firefly flamingo flounder flycatcher fox frog gannet gazelle gecko gerbil gibbon giraffe
gnu goat goldfinch goldfish goose gopher gosling grebe grouse guanaco guppy haddock halibut hamster hare harrier
hawk hedgehog heron herring hoopoe hornbill horse hound hummingbird ibex ibis iguana impala jackal jackdaw jaguar
jay jellyfish kakapo kangaroo kestrel kingfisher kitten kiwi koala koi kookaburra krill kudu ladybird lamb lapwing
lark lemming lemur leopard limpet linnet lion lizard llama lobster loon lorikeet lynx macaque macaw magpie mallard
manatee mandrill manta marlin marmoset marmot marten martin meerkat merlin minnow mole mongoose moose moth mouse
mule muskox narwhal newt nightjar numbat nuthatch ocelot octopus okapi opossum orca oriole oryx osprey ostrich otter
owl oyster panda pangolin panther parakeet parrot partridge peacock pelican penguin petrel pheasant pigeon pika pike
piper platypus plover polecat pony poodle porcupine porpoise possum prawn puffin puma puppy quail quetzal quokka
quoll rabbit raccoon raven ray redpoll reindeer robin rook salmon sandpiper sardine seagull seahorse seal serval
shearwater sheep shrew shrimp skink skylark sloth snail snipe spaniel sparrow sponge spoonbill squid squirrel
starfish starling stingray stoat stork sturgeon swallow swan tamarin tapir tarsier tern terrapin terrier thrush
tiger toucan treefrog trout tuna turaco turbot turkey turtle urchin vicuna viscacha vole wagtail wallaby walrus
warbler waxwing weasel weevil whale whippet wigeon wolf wolverine wombat woodcock woodlark woodpecker wren yak zebra
zebu
"""

ADJECTIVES: tuple[str, ...] = tuple(_ADJECTIVES.split())
ANIMALS: tuple[str, ...] = tuple(_ANIMALS.split())

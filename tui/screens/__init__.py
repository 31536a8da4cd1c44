"""One module per screen, in the order of their number keys.

base       what all screens share
overview   everything about one peer at a glance     round      the way of every contribution of a round
peers      who is there                              rollouts   what everybody said, with score and why
wallet     where the money is                        disputes   games before the contract
logs       what happens, in words                    help       what every number means
"""

from tui.screens.base import SwarmScreen
from tui.screens.disputes import DisputesScreen
from tui.screens.logs import LogsScreen
from tui.screens.overview import Overview
from tui.screens.peers import PeersScreen
from tui.screens.rollouts import RolloutsScreen
from tui.screens.round import RoundScreen
from tui.screens.wallet import WalletScreen

SCREENS: tuple[type[SwarmScreen], ...] = (
    Overview, RoundScreen, PeersScreen, RolloutsScreen, WalletScreen, DisputesScreen, LogsScreen,
)  # fmt: skip

"""One round, from a question to an agreed result: what a peer answers, learns, says and believes."""

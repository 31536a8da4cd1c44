"""Why this package exists: what the contracts that judge a dispute's last step share with the Python side."""

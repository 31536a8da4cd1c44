"""Why this module exists: the tables that every question about a peer is answered from, in one place.

The read-model holds nothing that the log does not: it can be deleted at any time. ``VERSION`` changes whenever the
tables or the meaning of a column change; an older or newer file is then made again from the log.
Units: ``at`` unix seconds, ``_s`` seconds, ``micro`` millionths of a credit, ``milli`` thousandths of a score,
``wei`` decimal text (larger than SQLite's integers).
"""

VERSION = 10

TABLES = """
CREATE TABLE log (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    offset INTEGER NOT NULL, head INTEGER NOT NULL, skipping INTEGER NOT NULL,
    num_events INTEGER NOT NULL, num_garbage INTEGER NOT NULL, first_at REAL, last_at REAL
);
INSERT INTO log VALUES (1, 0, 0, 0, 0, 0, NULL, NULL);

CREATE TABLE self (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    nickname TEXT, peer TEXT, address TEXT, model TEXT, engine TEXT, version TEXT,
    pid INTEGER, started_at REAL, num_starts INTEGER NOT NULL DEFAULT 0,
    joined_at REAL, registered INTEGER NOT NULL DEFAULT 0,
    stopped_at REAL, stop_why TEXT, exit_code INTEGER, peak_mb INTEGER NOT NULL DEFAULT 0,
    round INTEGER NOT NULL DEFAULT 0, phase TEXT NOT NULL DEFAULT '', phase_since REAL, phase_closes_at REAL,
    settled_micro INTEGER NOT NULL DEFAULT 0, claimed_micro INTEGER NOT NULL DEFAULT 0, balance_wei TEXT,
    progress_at REAL, opened_since_start INTEGER NOT NULL DEFAULT 0, serving TEXT NOT NULL DEFAULT '',
    stake_micro INTEGER, exiting_micro INTEGER, exit_ready_at REAL,
    memory_place TEXT, memory_predicted INTEGER, memory_free INTEGER, memory_measured INTEGER, memory_near INTEGER
);
INSERT INTO self (one) VALUES (1);

CREATE TABLE progress (
    one INTEGER PRIMARY KEY CHECK (one = 1), what TEXT NOT NULL, done INTEGER NOT NULL, total INTEGER NOT NULL,
    at REAL NOT NULL
);

CREATE TABLE rounds (
    round INTEGER PRIMARY KEY, seed TEXT, members TEXT NOT NULL DEFAULT '[]', cohort TEXT NOT NULL DEFAULT '[]',
    opened_at REAL, closes_at REAL, level INTEGER NOT NULL DEFAULT 0, num_levels INTEGER NOT NULL DEFAULT 0,
    loss REAL, grad_norm REAL, num_own INTEGER, num_external INTEGER, num_tokens INTEGER, step_s REAL,
    state_before TEXT, state_after TEXT,
    ended_at REAL, outcome TEXT, stages_played TEXT NOT NULL DEFAULT '[]',
    total_s REAL, generate_s REAL, train_s REAL, wait_s REAL, network_s REAL, chain_s REAL
);

CREATE TABLE stages (
    round INTEGER, stage TEXT, started_at REAL, closes_at REAL, outcome TEXT,
    num_received INTEGER, missing TEXT NOT NULL DEFAULT '[]', waited_s REAL,
    PRIMARY KEY (round, stage)
) WITHOUT ROWID;

CREATE TABLE batches (
    round INTEGER, stage TEXT, peer TEXT, own INTEGER NOT NULL, num_rollouts INTEGER NOT NULL, num_tokens INTEGER,
    mean_score_milli INTEGER NOT NULL, correct_milli INTEGER NOT NULL, took_s REAL NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (round, stage, peer)
) WITHOUT ROWID;

CREATE TABLE contributions (
    round INTEGER, peer TEXT, content TEXT NOT NULL, own INTEGER NOT NULL,
    produced_at REAL, published_at REAL, seen_at REAL, micro_credits INTEGER,
    PRIMARY KEY (round, peer)
) WITHOUT ROWID;

CREATE TABLE audits (
    round INTEGER, content TEXT, peer TEXT NOT NULL, by TEXT, level INTEGER NOT NULL, finding TEXT NOT NULL,
    what TEXT NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (content, by)
) WITHOUT ROWID;

CREATE TABLE struck (
    content TEXT PRIMARY KEY, round INTEGER NOT NULL, peer TEXT NOT NULL, micro_credits INTEGER NOT NULL,
    at REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE attestations (
    round INTEGER, poster TEXT, credits_root TEXT, refused_why TEXT, at REAL NOT NULL, PRIMARY KEY (round, poster)
) WITHOUT ROWID;

CREATE TABLE proposals (
    round INTEGER, poster TEXT, credits_root TEXT, contributions TEXT NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (round, poster, credits_root)
) WITHOUT ROWID;

CREATE TABLE attestors (
    round INTEGER, by TEXT, credits_root TEXT, at REAL NOT NULL, PRIMARY KEY (round, by, credits_root)
) WITHOUT ROWID;

CREATE TABLE settlements (
    round INTEGER PRIMARY KEY, contributions_root TEXT NOT NULL, credits_root TEXT NOT NULL, poster TEXT,
    at REAL NOT NULL
);

CREATE TABLE settled (round INTEGER, content TEXT, PRIMARY KEY (round, content)) WITHOUT ROWID;

CREATE TABLE credits (
    round INTEGER, peer TEXT, micro_credits INTEGER NOT NULL, PRIMARY KEY (round, peer)
) WITHOUT ROWID;

CREATE TABLE paid (
    round INTEGER, peer TEXT, micro_credits INTEGER NOT NULL, PRIMARY KEY (round, peer)
) WITHOUT ROWID;

CREATE TABLE rejections (
    round INTEGER, peer TEXT, kind TEXT, reason TEXT, count INTEGER NOT NULL, detail TEXT NOT NULL,
    last_at REAL NOT NULL,
    PRIMARY KEY (round, peer, kind, reason)
) WITHOUT ROWID;

CREATE TABLE claims (
    hash TEXT PRIMARY KEY, amount_wei TEXT NOT NULL, balance_wei TEXT NOT NULL, at REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE transactions (
    hash TEXT PRIMARY KEY, purpose TEXT NOT NULL, gas INTEGER NOT NULL, round INTEGER NOT NULL, at REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE evaluations (
    round INTEGER PRIMARY KEY, num_questions INTEGER NOT NULL, num_correct INTEGER NOT NULL, took_s REAL NOT NULL,
    at REAL NOT NULL
);

CREATE TABLE peers_seen (
    peer TEXT PRIMARY KEY, phase TEXT NOT NULL DEFAULT '', round INTEGER NOT NULL DEFAULT 0, last_at REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE problems (
    seq INTEGER PRIMARY KEY, error TEXT NOT NULL, what TEXT NOT NULL, so_what TEXT NOT NULL, next_step TEXT NOT NULL,
    at REAL NOT NULL, recovered_at REAL
);

CREATE TABLE restarts (seq INTEGER PRIMARY KEY, why TEXT NOT NULL, count INTEGER NOT NULL, at REAL NOT NULL);

CREATE TABLE shrunk (seq INTEGER PRIMARY KEY, what TEXT NOT NULL, megabytes REAL NOT NULL, at REAL NOT NULL);

CREATE TABLE skipped (
    round INTEGER PRIMARY KEY, reason TEXT NOT NULL, what TEXT NOT NULL, at REAL NOT NULL
);

CREATE TABLE network_ops (
    op TEXT, result TEXT, count INTEGER NOT NULL, PRIMARY KEY (op, result)
) WITHOUT ROWID;

CREATE TABLE disputes (
    game TEXT PRIMARY KEY, opened BLOB NOT NULL, opened_at REAL NOT NULL, decided BLOB, decided_at REAL
) WITHOUT ROWID;

CREATE TABLE dispute_moves (
    game TEXT, number INTEGER, move BLOB NOT NULL, at REAL NOT NULL, PRIMARY KEY (game, number)
) WITHOUT ROWID;

CREATE TABLE equivocations (
    round INTEGER, peer TEXT, proven BLOB NOT NULL, PRIMARY KEY (round, peer)
) WITHOUT ROWID;

CREATE TABLE questions (seq INTEGER PRIMARY KEY, round INTEGER NOT NULL, played BLOB NOT NULL);

CREATE TABLE lines (seq INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL, text TEXT NOT NULL);
"""

NUM_QUESTIONS_KEPT = 64
NUM_LINES_KEPT = 1000
"""Of the log in words; the log itself keeps everything."""

NUM_PROBLEMS_KEPT = 100
NUM_REJECTED_PEERS_PER_ROUND = 64
"""A flood under made-up names must not grow the read-model: further names are counted together as ``(others)``."""

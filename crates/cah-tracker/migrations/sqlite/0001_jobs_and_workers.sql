-- The whole of one project. All times are Unix seconds.

-- The project's stages in order, and how many jobs wait or are leased at each.
CREATE TABLE stages (
    stage  INTEGER PRIMARY KEY,
    name   TEXT    NOT NULL UNIQUE,
    open   INTEGER NOT NULL DEFAULT 0 CHECK (open >= 0),
    leased INTEGER NOT NULL DEFAULT 0 CHECK (leased >= 0)
) STRICT;

INSERT INTO stages (stage, name) VALUES (0, 'CPU'), (1, 'GPU');

-- Counters over the whole project, kept with each change: nobody ever counts rows.
CREATE TABLE totals (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    jobs   INTEGER NOT NULL DEFAULT 0,
    closed INTEGER NOT NULL DEFAULT 0 CHECK (closed >= 0),
    banned INTEGER NOT NULL DEFAULT 0 CHECK (banned >= 0),
    parked INTEGER NOT NULL DEFAULT 0 CHECK (parked >= 0),
    pairs  INTEGER NOT NULL DEFAULT 0 CHECK (pairs >= 0)
) STRICT;

INSERT INTO totals (id) VALUES (1);

-- One WAT file. The key (a hash of the folder, then one of the file's name) finds a file again
-- when a list is imported twice: a tenth of an index over the URLs, and files that are listed
-- together lie together in it.
CREATE TABLE chunks (
    chunk   INTEGER PRIMARY KEY,
    url     TEXT    NOT NULL,
    url_key INTEGER NOT NULL
) STRICT;

CREATE INDEX chunks_by_url ON chunks (url_key);

-- state: 0 open, 1 leased, 2 closed, 3 banned, 4 parked (it failed so often that a person should
-- look at it). attempts counts leases, failures those that ended with a worker saying that the job
-- cannot be done.
CREATE TABLE jobs (
    number   INTEGER PRIMARY KEY,
    state    INTEGER NOT NULL DEFAULT 0 CHECK (state BETWEEN 0 AND 4),
    stage    INTEGER NOT NULL DEFAULT 0 REFERENCES stages,
    priority INTEGER NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0 CHECK (failures >= 0),
    attempts INTEGER NOT NULL DEFAULT 0
) STRICT;

-- The order in which jobs are claimed: those that failed come after those that did not.
CREATE INDEX jobs_open ON jobs (stage, priority DESC, failures, number) WHERE state = 0;

CREATE INDEX jobs_parked ON jobs (number) WHERE state = 4;

-- Why an attempt failed, in the words of the worker.
CREATE TABLE failures (
    number  INTEGER NOT NULL REFERENCES jobs,
    attempt INTEGER NOT NULL,
    message TEXT    NOT NULL,
    at      INTEGER NOT NULL,
    PRIMARY KEY (number, attempt)
) STRICT, WITHOUT ROWID;

-- The connected workers. A lease ends with its worker's deadline, which any call of the worker
-- moves. settled is the job whose completion (settled_as 1), flag (2) or failure (3) was accepted
-- last; it is forgotten with the next job.
CREATE TABLE workers (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    token_hash     BLOB    NOT NULL UNIQUE,
    display_name   TEXT    NOT NULL UNIQUE,
    nickname       TEXT    NOT NULL,
    first_stage    INTEGER NOT NULL REFERENCES stages,
    last_stage     INTEGER NOT NULL REFERENCES stages,
    progress       TEXT    NOT NULL,
    jobs_completed INTEGER NOT NULL DEFAULT 0,
    first_seen     INTEGER NOT NULL,
    last_seen      INTEGER NOT NULL,
    deadline       INTEGER NOT NULL,
    settled        INTEGER,
    settled_as     INTEGER
) STRICT;

-- Who works on what. attempt is the fence: it equals the job's attempts while the lease holds.
CREATE TABLE leases (
    number  INTEGER PRIMARY KEY REFERENCES jobs,
    worker  INTEGER NOT NULL UNIQUE REFERENCES workers,
    attempt INTEGER NOT NULL,
    since   INTEGER NOT NULL
) STRICT;

CREATE TABLE contributors (
    id       INTEGER PRIMARY KEY,
    nickname TEXT NOT NULL UNIQUE
) STRICT;

-- One leaderboard a stage: whoever finished it, with how many jobs, how many of them closed, and
-- how many pairs.
CREATE TABLE boards (
    stage       INTEGER NOT NULL REFERENCES stages,
    contributor INTEGER NOT NULL REFERENCES contributors,
    jobs        INTEGER NOT NULL DEFAULT 0,
    closed      INTEGER NOT NULL DEFAULT 0,
    pairs       INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (stage, contributor)
) STRICT, WITHOUT ROWID;

CREATE INDEX boards_ranked ON boards (stage, jobs DESC, pairs DESC);

-- What was accepted, stage by stage. A stage's output is the next one's input; nothing is
-- overwritten, the latest attempt counts.
CREATE TABLE completions (
    number      INTEGER NOT NULL REFERENCES jobs,
    stage       INTEGER NOT NULL REFERENCES stages,
    attempt     INTEGER NOT NULL,
    contributor INTEGER NOT NULL REFERENCES contributors,
    pairs       INTEGER NOT NULL,
    output      TEXT,
    at          INTEGER NOT NULL,
    PRIMARY KEY (number, stage, attempt)
) STRICT, WITHOUT ROWID;

-- The project's progress at regular times, for charts and the ETA.
CREATE TABLE series (
    at     INTEGER PRIMARY KEY,
    closed INTEGER NOT NULL,
    pairs  INTEGER NOT NULL
) STRICT;

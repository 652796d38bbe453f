-- Where candidates ended, who did how much when, and whom the operator keeps out.

-- Where the candidates of the completed jobs ended, as their workers told. A completion has its own
-- part as a JSON object, so that it can be taken back.
CREATE TABLE outcomes (
    outcome    TEXT    PRIMARY KEY,
    candidates INTEGER NOT NULL DEFAULT 0 CHECK (candidates >= 0)
) STRICT, WITHOUT ROWID;

ALTER TABLE completions ADD COLUMN outcomes TEXT;

-- What a contributor finished at a stage on a day (of 86,400 Unix seconds).
CREATE TABLE days (
    contributor INTEGER NOT NULL REFERENCES contributors,
    stage       INTEGER NOT NULL,
    day         INTEGER NOT NULL,
    jobs        INTEGER NOT NULL DEFAULT 0 CHECK (jobs >= 0),
    pairs       INTEGER NOT NULL DEFAULT 0 CHECK (pairs >= 0),
    PRIMARY KEY (contributor, stage, day)
) STRICT, WITHOUT ROWID;

INSERT INTO days (contributor, stage, day, jobs, pairs)
    SELECT contributor, stage, at / 86400, count(*), sum(pairs) FROM completions
    WHERE revoked = 0 GROUP BY 1, 2, 3;

-- The address that a worker joined from, while it is connected: for its operator to keep it out.
ALTER TABLE workers ADD COLUMN address TEXT NOT NULL DEFAULT '';
ALTER TABLE workers ADD COLUMN pairs INTEGER NOT NULL DEFAULT 0;

-- Nicknames and networks that take no part.
CREATE TABLE exclusions (
    kind   TEXT    NOT NULL CHECK (kind IN ('nickname', 'network')),
    whom   TEXT    NOT NULL,
    reason TEXT    NOT NULL,
    at     INTEGER NOT NULL,
    PRIMARY KEY (kind, whom)
) STRICT, WITHOUT ROWID;

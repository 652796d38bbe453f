-- Projects with any stages and any jobs, and what operators need.

-- What the jobs are: 'shards' of WAT files or 'data' of any kind; unknown until the first import.
-- The banner is what the operator tells everybody; empty where there is nothing to tell.
CREATE TABLE project (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    kind   TEXT CHECK (kind IN ('shards', 'data')),
    banner TEXT NOT NULL DEFAULT ''
) STRICT;

INSERT INTO project (id, kind)
    VALUES (1, CASE WHEN EXISTS (SELECT 1 FROM chunks) THEN 'shards' END);

-- What a worker was taken in as: HYBRID, CPU or GPU, or the letter of its one stage.
ALTER TABLE workers ADD COLUMN role TEXT NOT NULL DEFAULT 'HYBRID';
UPDATE workers SET role = CASE WHEN last_stage = 0 THEN 'CPU' WHEN first_stage = 1 THEN 'GPU'
                               ELSE 'HYBRID' END;

-- How often workers gave the job back: the order of claims. failures are the leases that ended
-- without a result, and count towards parking.
ALTER TABLE jobs ADD COLUMN setbacks INTEGER NOT NULL DEFAULT 0;
UPDATE jobs SET setbacks = failures WHERE failures > 0;

DROP INDEX jobs_open;
CREATE INDEX jobs_open ON jobs (stage, priority DESC, setbacks, number) WHERE state = 0;

-- What a job is about, where it is no shard. The key (a hash) finds it again when a list is
-- imported twice.
CREATE TABLE payloads (
    number   INTEGER PRIMARY KEY REFERENCES jobs,
    data     TEXT    NOT NULL,
    data_key INTEGER NOT NULL
) STRICT;

CREATE INDEX payloads_by_data ON payloads (data_key);

-- Which workers said of a stage's input that it is no good, since it was made.
CREATE TABLE flags (
    number INTEGER NOT NULL REFERENCES jobs,
    stage  INTEGER NOT NULL REFERENCES stages,
    worker INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    PRIMARY KEY (number, stage, worker)
) STRICT, WITHOUT ROWID;

-- A completion that an operator took back counts nowhere. The key (a hash) finds a job by what
-- was handed over.
ALTER TABLE completions ADD COLUMN revoked INTEGER NOT NULL DEFAULT 0;
ALTER TABLE completions ADD COLUMN output_key INTEGER;
CREATE INDEX completions_by_output ON completions (output_key) WHERE output_key IS NOT NULL;

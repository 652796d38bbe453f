-- Where candidates ended, who did how much when, and whom the operator keeps out.

-- Where the candidates of the completed jobs ended, as their workers told. A completion has its own
-- part as a JSON object, so that it can be taken back.
CREATE TABLE outcomes (
    outcome    text   PRIMARY KEY,
    candidates bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

ALTER TABLE completions ADD COLUMN outcomes text;

-- What a contributor finished at a stage on a day (of 86,400 Unix seconds).
CREATE TABLE days (
    contributor bigint NOT NULL REFERENCES contributors,
    stage       bigint NOT NULL,
    day         bigint NOT NULL,
    jobs        bigint NOT NULL DEFAULT 0,
    pairs       bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (contributor, stage, day)
) WITH (fillfactor = 50);

INSERT INTO days (contributor, stage, day, jobs, pairs)
    SELECT contributor, stage, at / 86400, count(*), sum(pairs) FROM completions
    WHERE revoked = 0 GROUP BY 1, 2, 3;

-- The address that a worker joined from, while it is connected: for its operator to keep it out.
ALTER TABLE workers ADD COLUMN address text NOT NULL DEFAULT '';
ALTER TABLE workers ADD COLUMN pairs bigint NOT NULL DEFAULT 0;

-- Nicknames and networks that take no part.
CREATE TABLE exclusions (
    kind   text   NOT NULL CHECK (kind IN ('nickname', 'network')),
    whom   text   NOT NULL,
    reason text   NOT NULL,
    at     bigint NOT NULL,
    PRIMARY KEY (kind, whom)
);

-- A small store as schema 1 left it: one WAT file, its first job closed and its second leased.
INSERT INTO chunks (chunk, url, url_key) VALUES (1, 'https://example.org/a.warc.wat.gz', 42);
INSERT INTO jobs (number, state, stage, attempts, failures) VALUES (1, 2, 1, 1, 0), (2, 1, 0, 3, 2);
UPDATE stages SET leased = 1 WHERE stage = 0;
UPDATE totals SET jobs = 2, closed = 1, pairs = 7;
INSERT INTO contributors (id, nickname) VALUES (1, 'ada');
INSERT INTO boards (stage, contributor, jobs, closed, pairs) VALUES (1, 1, 1, 1, 7);
INSERT INTO completions (number, stage, attempt, contributor, pairs, at)
    VALUES (1, 1, 1, 1, 7, 1600000000);
INSERT INTO workers (id, token_hash, display_name, nickname, first_stage, last_stage, progress,
                     jobs_completed, first_seen, last_seen, deadline)
    VALUES (1, zeroblob(32), 'calm-otter-101', 'ada', 0, 1, 'Fetching', 1, 1600000000,
            1600000100, 1600007300);
INSERT INTO leases (number, worker, attempt, since) VALUES (2, 1, 3, 1600000100);
INSERT INTO series (at, closed, pairs) VALUES (1600000000, 1, 7);

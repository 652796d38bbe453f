-- How many workers of one machine are connected, and which of one contributor.

-- The network that stands for the machine which a worker joined from.
ALTER TABLE workers ADD COLUMN machine TEXT NOT NULL DEFAULT '';
UPDATE workers SET machine = CASE WHEN instr(address, ':') = 0 THEN address || '/32' ELSE address END;
CREATE INDEX workers_of_machine ON workers (machine);

-- The workers of a contributor, for its page.
CREATE INDEX workers_by_nickname ON workers (nickname);

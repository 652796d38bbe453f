-- Tables whose rows change all the time are cleaned before a fifth of them is out of date, which the
-- server would wait for; and what it thinks of the jobs follows what becomes of them.
ALTER TABLE workers SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);
ALTER TABLE leases  SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);
ALTER TABLE boards  SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);
ALTER TABLE days    SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);
ALTER TABLE jobs    SET (autovacuum_analyze_scale_factor = 0.05);

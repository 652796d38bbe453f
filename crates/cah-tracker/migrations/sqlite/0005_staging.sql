-- The key in the address where a worker brings files, as a hash like its token.
ALTER TABLE workers ADD COLUMN upload_hash BLOB NOT NULL DEFAULT x'';
CREATE INDEX workers_by_upload_hash ON workers (upload_hash);

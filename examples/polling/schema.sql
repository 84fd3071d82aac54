-- A queue, and what its jobs make.
CREATE EXTENSION IF NOT EXISTS durable_work;
SELECT durable_work.create_queue('thumbnails');
CREATE TABLE thumbnail (picture text, worker text);

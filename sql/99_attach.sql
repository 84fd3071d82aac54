-- Last: raises the epoch, and once this transaction commits, enqueue and claim work.
SELECT durable_work.attach_database();

-- The shop: its orders, and what the workers write. psql -v lease='3 s' -f schema.sql
\set ON_ERROR_STOP on

CREATE EXTENSION durable_work;
-- The lease is short, so that the demo shows within seconds what happens when it runs out.
SELECT durable_work.create_queue(queue => 'receipts', lease => :'lease');

CREATE SCHEMA shop;

CREATE TABLE shop.orders (
    order_id     bigint PRIMARY KEY,
    customer     text NOT NULL,
    email        text NOT NULL,
    amount_cents bigint NOT NULL CHECK (amount_cents > 0),
    currency     text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    status       text NOT NULL CHECK (status IN ('pending_payment', 'paid', 'cancelled')),
    paid_at      timestamptz      -- null in orders that were paid before the demo
);

-- What a worker did. There is no primary key on purpose: were a receipt ever written twice,
-- both rows would be here for everybody to see.
CREATE TABLE shop.receipts (
    order_id    bigint NOT NULL,
    job_id      bigint NOT NULL,
    lease_token bigint NOT NULL,
    attempt     int NOT NULL,
    worker      text NOT NULL,
    claimed_at  timestamptz NOT NULL,
    handled_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Work that came too late: the token was no longer the current one, the transaction was rolled
-- back, and the worker wrote this row afterwards.
CREATE TABLE shop.refusals (
    refusal_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id    bigint NOT NULL,
    job_id      bigint NOT NULL,
    lease_token bigint NOT NULL,
    worker      text NOT NULL,
    claimed_at  timestamptz NOT NULL,
    refused_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    sqlstate    text NOT NULL,
    message     text NOT NULL,
    told        boolean NOT NULL DEFAULT false       -- the demo has shown it
);

-- Every answer the shop's API gave to a customer.
CREATE TABLE shop.payment_log (
    order_id bigint NOT NULL,
    round    int NOT NULL,       -- 1 the customers pay, 2 they press the button again
    outcome  text NOT NULL CHECK (outcome IN ('paid', 'not_payable', 'card_declined'))
);

-- What the demo did to the workers and to the server, for the checks at the end.
CREATE TABLE shop.incidents (
    what text NOT NULL,          -- 'worker killed' | 'server killed'
    at   timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE shop.leases_of_killed_worker (job_id bigint NOT NULL, lease_token bigint NOT NULL);

CREATE FUNCTION shop.receipt_payload(paid shop.orders) RETURNS jsonb
LANGUAGE sql STABLE
RETURN jsonb_build_object('order_id', paid.order_id, 'customer', paid.customer,
                          'email', paid.email, 'amount_cents', paid.amount_cents,
                          'currency', paid.currency);

-- Asks for the receipt of an order. Asked twice, the idempotency key gives back the first job.
CREATE FUNCTION shop.request_receipt(paid shop.orders, OUT job_id bigint, OUT inserted boolean)
LANGUAGE sql
BEGIN ATOMIC
    SELECT job.job_id, job.inserted
    FROM durable_work.enqueue(
             queue           => 'receipts',
             payload         => shop.receipt_payload(paid),
             partition_key   => 'order:' || (paid).order_id,
             idempotency_key => 'send_receipt:' || (paid).order_id) AS job;
END;

-- The heart of the shop. The UPDATE guards the invariant "an order is paid once"; only if it hit
-- a row is there work, and the work commits or vanishes together with the payment.
CREATE FUNCTION shop.pay_order(wanted_order_id bigint, OUT job_id bigint, OUT inserted boolean)
LANGUAGE plpgsql AS $$
DECLARE
    paid shop.orders;
BEGIN
    UPDATE shop.orders SET status = 'paid', paid_at = clock_timestamp()
    WHERE order_id = wanted_order_id AND status = 'pending_payment'
    RETURNING * INTO paid;

    IF FOUND THEN
        SELECT receipt.job_id, receipt.inserted INTO job_id, inserted
        FROM shop.request_receipt(paid) AS receipt;
    END IF;                      -- otherwise: not payable, no work, job_id stays null
END
$$;

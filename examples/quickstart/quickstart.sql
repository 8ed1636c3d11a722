-- An order and its event, in one transaction: either both become true or neither does.

CREATE TABLE IF NOT EXISTS orders (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer text    NOT NULL,
    total    numeric NOT NULL
);

BEGIN;
WITH placed AS (
    INSERT INTO orders (customer, total)
    VALUES ('ada', 120.50)
    RETURNING id, customer, total
)
INSERT INTO outbox (type, key, payload)
SELECT 'order.created', id::text, to_jsonb(placed)
FROM placed;
COMMIT;

-- This one is rolled back: nobody ever hears of it.
BEGIN;
INSERT INTO outbox (type, payload)
VALUES ('order.created', '{"customer": "bob", "total": -1}');
ROLLBACK;

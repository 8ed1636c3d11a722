INSERT INTO shop.domain_events (event_name, aggregate_id, account_id, body)
VALUES ('order.created', 7, '6f1c2a9e-58a4-4a52-8b0e-0d1f6a1c9d11', '{"order": 7, "total": 120.50}'),
       ('order.paid', 7, '6f1c2a9e-58a4-4a52-8b0e-0d1f6a1c9d11', '{"order": 7, "total": 120.50}'),
       ('invoice.created', 31, NULL, '{"invoice": 31}');

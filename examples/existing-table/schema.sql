-- Stands for an outbox table that an application has had for years.

CREATE SCHEMA IF NOT EXISTS shop;

CREATE TABLE IF NOT EXISTS shop.domain_events (
    seq          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_name   varchar(100) NOT NULL,
    aggregate_id bigint,
    account_id   uuid,
    body         text         NOT NULL, -- JSON, written by the application
    occurred_at  timestamp    NOT NULL DEFAULT (now() AT TIME ZONE 'UTC'),
    published    boolean      NOT NULL DEFAULT false -- of a poller that is no longer needed
);

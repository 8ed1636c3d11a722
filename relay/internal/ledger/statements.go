package ledger

// A statement of a recording connection; its parameters are numbered because they are bound in
// binary.
type statement struct{ name, sql string }

// Names of prepared statements.
const (
	guardStatement  = "tailpost_guard"
	copyStatement   = "tailpost_attempt"
	parkStatement   = "tailpost_park"
	updateStatement = "tailpost_update"
	removeStatement = "tailpost_remove"
	statsStatement  = "tailpost_stats"
	typesStatement  = "tailpost_types"
	changeStatement = "tailpost_endpoint"

	versionStatement = "tailpost_version"
	pruneStatement   = "tailpost_prune"
	dropStatement    = "tailpost_drop"
	emitStatement    = "tailpost_emit"
)

func recordingStatements() []statement {
	return []statement{
		{guardStatement, guardSQL},
		{copyStatement, copySQL},
		{parkStatement, parkSQL},
		{updateStatement, updateSQL},
		{removeStatement, removeSQL},
		{statsStatement, statsSQL},
		{typesStatement, typesSQL},
		{changeStatement, changeSQL},
		{versionStatement, versionSQL},
		{pruneStatement, pruneSQL},
		{dropStatement, dropSQL},
		{emitStatement, emitSQL},
	}
}

// recordingSettings are those of the recording connection. Its statements look up a few rows by key
// and are written for their indexes: without the planner's guesses about a queue that is empty now
// and long in a minute, nothing makes it read whole tables, and no plan of their own would be
// better.
func recordingSettings() map[string]string {
	return map[string]string{
		"enable_seqscan": "off", "enable_mergejoin": "off", "enable_hashjoin": "off", "plan_cache_mode": "force_generic_plan",
	}
}

// loadingSettings are those of the others: with the values at hand Postgres hashes the events to
// leave out instead of comparing each row with each of them.
func loadingSettings() map[string]string {
	return map[string]string{"enable_seqscan": "off", "plan_cache_mode": "force_custom_plan"}
}

// parkedSettings are those of the connection that loads what is due. Every statement of it has an
// index in its order; a planner without statistics would read and sort the whole queue instead, for
// each page.
func parkedSettings() map[string]string {
	return map[string]string{
		"enable_seqscan": "off", "enable_bitmapscan": "off", "enable_sort": "off", "plan_cache_mode": "force_custom_plan",
	}
}

// guardSQL begins every recording transaction. Without the row it divides by zero, which ends the
// pipeline: all that follows is skipped and nothing takes effect.
//
// The row is looked for where it was left, not by its key. While somebody in the database holds a
// snapshot, none of the row's old versions can go, and a search by key would pass all of them: more
// with every batch.
const guardSQL = `
WITH held AS (
    UPDATE tailpost.relay
    SET batch = batch + 1,
        settled_lsn = GREATEST(settled_lsn, $4::pg_lsn),
        settled_at = GREATEST(settled_at, $5::timestamptz),
        updated_at = $6::timestamptz,
        released_lsn = $8::pg_lsn
    WHERE ctid = $7::tid
      AND slot = $1::text
      AND epoch = $2::bigint
      AND batch = $3::bigint
    RETURNING ctid AS place
)
SELECT 1 / count(*), (array_agg(place))[1] FROM held`

const copySQL = `
COPY tailpost.attempt (
    event_id, event_type, tenant, endpoint_id, number, trigger, url, outcome, status_code, error, duration_ms,
    response_body, response_truncated, attempted_at, commit_lsn, search, request_headers, response_headers,
    request_id
) FROM STDIN (FORMAT binary)`

// reusedError is the last error of a delivery whose event has the id of an earlier one.
const reusedError = `'an earlier event with id ' || p.event_id || ' is not delivered yet, so this one is under another id: resend or discard the earlier one, then resend this one'`

// parkSQL never lets an event vanish behind an earlier one that has the same id and is not
// delivered yet: it is dead under an id of its own. The same event is known by its place.
const parkSQL = `
INSERT INTO tailpost.delivery (
    event_id, endpoint_id, state, reason, attempts, next_attempt_at, event_type, tenant, key, payload, headers,
    event_created_at, commit_lsn, seq, last_status, last_error, created_at, updated_at, search, deliver_at, expires_at, extra
)
SELECT CASE WHEN was.event_id IS NULL THEN p.event_id ELSE p.event_id || '~' || p.commit_lsn || '.' || p.seq END,
       p.endpoint_id,
       CASE WHEN was.event_id IS NULL THEN p.state ELSE 'dead' END,
       CASE WHEN was.event_id IS NULL THEN p.reason ELSE 'id_reused' END,
       p.attempts,
       CASE WHEN was.event_id IS NULL THEN p.next_attempt_at END,
       p.event_type, p.tenant, p.key, p.payload, p.headers, p.event_created_at, p.commit_lsn, p.seq, p.last_status,
       CASE WHEN was.event_id IS NULL THEN p.last_error ELSE ` + reusedError + ` END,
       $17::timestamptz, $17::timestamptz, p.search::text[], p.deliver_at, p.expires_at, p.extra
FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::integer[], $6::timestamptz[], $7::text[], $8::text[],
    $9::text[], $10::bytea[], $11::text[], $12::timestamptz[], $13::pg_lsn[], $14::bigint[], $15::integer[], $16::text[],
    $18::text[], $19::timestamptz[], $20::timestamptz[], $21::bytea[]
) AS p (
    event_id, endpoint_id, state, reason, attempts, next_attempt_at, event_type, tenant,
    key, payload, headers, event_created_at, commit_lsn, seq, last_status, last_error, search, deliver_at, expires_at, extra
)
LEFT JOIN tailpost.delivery AS was
    ON was.event_id = p.event_id
   AND was.endpoint_id = p.endpoint_id
   AND (was.commit_lsn, was.seq) <> (p.commit_lsn, p.seq)
ON CONFLICT (event_id, endpoint_id) DO NOTHING`

// updateSQL leaves what is known of the last attempt where a delivery expires: that makes none.
const updateSQL = `
UPDATE tailpost.delivery AS d
SET state = u.state,
    reason = u.reason,
    attempts = u.attempts,
    next_attempt_at = u.next_attempt_at,
    last_status = CASE WHEN u.reason = 'expired' THEN d.last_status ELSE u.last_status END,
    last_error = CASE WHEN u.reason = 'expired' THEN COALESCE(d.last_error, u.last_error) ELSE u.last_error END,
    updated_at = $9::timestamptz
FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::integer[], $6::timestamptz[], $7::integer[], $8::text[],
    $10::pg_lsn[], $11::bigint[]
) AS u (event_id, endpoint_id, state, reason, attempts, next_attempt_at, last_status, last_error, commit_lsn, seq)
WHERE d.event_id = u.event_id
  AND d.endpoint_id = u.endpoint_id
  AND (d.commit_lsn, d.seq) = (u.commit_lsn, u.seq)`

// removeSQL also finds the row of an event that parkSQL put under an id of its own while its
// request was under way.
const removeSQL = `
DELETE FROM tailpost.delivery AS d
USING unnest($1::text[], $2::text[], $3::pg_lsn[], $4::bigint[]) AS r (event_id, endpoint_id, commit_lsn, seq)
WHERE d.event_id = ANY (ARRAY[r.event_id, r.event_id || '~' || r.commit_lsn || '.' || r.seq])
  AND d.endpoint_id = r.endpoint_id
  AND (d.commit_lsn, d.seq) = (r.commit_lsn, r.seq)`

// statsSQL gets the buckets of all rows in one flat array, 15 for each, and the classes in another,
// 6 for each.
const statsSQL = `
INSERT INTO tailpost.endpoint_stats AS s (
    endpoint_id, hour, attempts, delivered, failed, dead, duration_ms_sum, buckets, classes
)
SELECT n.endpoint_id, n.hour, n.attempts, n.delivered, n.failed, n.dead, n.duration_ms_sum,
       ($8::bigint[])[n.line * 15 - 14 : n.line * 15], ($9::bigint[])[n.line * 6 - 5 : n.line * 6]
FROM unnest(
    $1::text[], $2::timestamptz[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::double precision[]
) WITH ORDINALITY AS n (endpoint_id, hour, attempts, delivered, failed, dead, duration_ms_sum, line)
ON CONFLICT (endpoint_id, hour) DO UPDATE
SET attempts = s.attempts + EXCLUDED.attempts,
    delivered = s.delivered + EXCLUDED.delivered,
    failed = s.failed + EXCLUDED.failed,
    dead = s.dead + EXCLUDED.dead,
    duration_ms_sum = s.duration_ms_sum + EXCLUDED.duration_ms_sum,
    buckets = ARRAY[
        s.buckets[1] + EXCLUDED.buckets[1],
        s.buckets[2] + EXCLUDED.buckets[2],
        s.buckets[3] + EXCLUDED.buckets[3],
        s.buckets[4] + EXCLUDED.buckets[4],
        s.buckets[5] + EXCLUDED.buckets[5],
        s.buckets[6] + EXCLUDED.buckets[6],
        s.buckets[7] + EXCLUDED.buckets[7],
        s.buckets[8] + EXCLUDED.buckets[8],
        s.buckets[9] + EXCLUDED.buckets[9],
        s.buckets[10] + EXCLUDED.buckets[10],
        s.buckets[11] + EXCLUDED.buckets[11],
        s.buckets[12] + EXCLUDED.buckets[12],
        s.buckets[13] + EXCLUDED.buckets[13],
        s.buckets[14] + EXCLUDED.buckets[14],
        s.buckets[15] + EXCLUDED.buckets[15]
    ],` + addClassesSQL

// addClassesSQL adds up what may be unknown in a row of an earlier version.
const addClassesSQL = `
    classes = CASE WHEN s.classes IS NULL THEN EXCLUDED.classes ELSE ARRAY[
        s.classes[1] + EXCLUDED.classes[1],
        s.classes[2] + EXCLUDED.classes[2],
        s.classes[3] + EXCLUDED.classes[3],
        s.classes[4] + EXCLUDED.classes[4],
        s.classes[5] + EXCLUDED.classes[5],
        s.classes[6] + EXCLUDED.classes[6]
    ] END`

const typesSQL = `
INSERT INTO tailpost.type_stats AS s (
    endpoint_id, hour, event_type, attempts, delivered, failed, dead, classes
)
SELECT n.endpoint_id, n.hour, n.event_type, n.attempts, n.delivered, n.failed, n.dead,
       CASE WHEN n.endpoint_id = '' THEN ($8::bigint[])[n.line * 6 - 5 : n.line * 6] END
FROM unnest(
    $1::text[], $2::timestamptz[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[]
) WITH ORDINALITY AS n (endpoint_id, hour, event_type, attempts, delivered, failed, dead, line)
ON CONFLICT (endpoint_id, hour, event_type) DO UPDATE
SET attempts = s.attempts + EXCLUDED.attempts,
    delivered = s.delivered + EXCLUDED.delivered,
    failed = s.failed + EXCLUDED.failed,
    dead = s.dead + EXCLUDED.dead,` + addClassesSQL

const changeSQL = `
UPDATE tailpost.endpoint AS e
SET status = COALESCE(c.status, e.status),
    disabled_reason = CASE WHEN c.status IS NULL THEN e.disabled_reason ELSE c.disabled_reason END,
    failing_since = c.failing_since,
    updated_at = $5::timestamptz,
    verified = COALESCE(c.verified, e.verified),
    verified_at = CASE WHEN c.verified IS NULL THEN e.verified_at ELSE $5::timestamptz END,
    verify_error = CASE WHEN c.verified IS NULL THEN COALESCE(c.verify_error, e.verify_error) END
FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $6::text[], $7::text[])
    AS c (id, status, disabled_reason, failing_since, verified, verify_error)
WHERE e.id = c.id`

// emitSQL takes bytes because text would be sent in the database's encoding.
const emitSQL = `
SELECT count(pg_logical_emit_message(true, 'tailpost', e.content))
FROM unnest($1::bytea[]) AS e (content)`

// positionSQL tells where the row is, and after a lost connection what became of the last batch.
const positionSQL = `
SELECT epoch, batch, ctid
FROM tailpost.relay
WHERE slot = $1`

-- Payloads, and what receivers answered, have a scope of their own. A key that could read them before still can.

UPDATE tailpost.api_key
SET scopes = scopes || 'payloads:read'::text
WHERE source = 'api'
  AND scopes && ARRAY['deliveries:read', 'deliveries:write', 'endpoints:write']
  AND NOT 'payloads:read' = ANY (scopes);

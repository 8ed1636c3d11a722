package pglink

// ZoneSQL is an SQL expression for the time zone in which the sessions of others write times that
// have none: what ALTER DATABASE … SET timezone says, else log_timezone, which initdb sets to the
// zone of the machine. Our own sessions are in UTC, so that TimeZone says nothing there.
const ZoneSQL = `
       COALESCE((SELECT substr(o.setting, length('timezone=') + 1)
                 FROM pg_catalog.pg_db_role_setting AS s
                 JOIN pg_catalog.pg_database AS d ON d.oid = s.setdatabase
                 CROSS JOIN unnest(s.setconfig) AS o (setting)
                 WHERE d.datname = current_database()
                   AND s.setrole = 0
                   AND o.setting ILIKE 'timezone=%'), current_setting('log_timezone'))`

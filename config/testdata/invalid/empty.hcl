# ERROR "Missing database URL: .*DATABASE_URL" "Missing endpoint: .*at least one"

database { url = env("DATABASE_URL") }
api {}

database { url = env("DATABASE_URL") }
api { listen = "127.0.0.1:0" }
metrics { listen = "127.0.0.1:0" }

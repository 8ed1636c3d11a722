database { url = env("DATABASE_URL") }
api { listen = "127.0.0.1:8080" }
metrics {
  listen = "127.0.0.1:8080" # ERROR "Repeated address: The API listens there"
}

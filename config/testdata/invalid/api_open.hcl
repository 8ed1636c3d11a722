database { url = env("DATABASE_URL") }
api {
  listen = "0.0.0.0:8080" # ERROR "Open API: Anybody who reaches this address"
}

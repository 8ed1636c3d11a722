# Mounted into the containers, whose environment compose.yaml sets.

database {
  url = env("DATABASE_URL")
}

# The receiver shares the relay's network: it is on loopback, and nothing else is allowed.
network {
  allow      = ["127.0.0.1/32"]
  allow_http = true
}

endpoint "receiver" {
  url    = "http://127.0.0.1:4000/"
  secret = env("TAILPOST_SECRET")

  subscription {
    events = ["order.*"]
  }
}

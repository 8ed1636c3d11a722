# The smallest useful configuration: one database, one endpoint.

database {
  url = env("DATABASE_URL")
}

# `tailpost listen` on this machine. Loopback and plain http are denied unless they are allowed here.
network {
  allow      = ["127.0.0.1/32"]
  allow_http = true
}

endpoint "local" {
  url    = "http://127.0.0.1:4000/"
  secret = env("TAILPOST_SECRET")

  subscription {
    events = ["order.*"]
  }
}

# The same for every process of the fleet.

database {
  url = env("DATABASE_URL")
}

fanout "nats" {
  url      = "nats://127.0.0.1:4222" # all servers of a cluster, with commas between them
  user     = "tailpost"
  password = env("NATS_PASSWORD")
}

# `tailpost listen` on this machine. Loopback and plain http are denied unless they are allowed here.
network {
  allow      = ["127.0.0.1/32"]
  allow_http = true
}

endpoint "local" {
  url    = "http://127.0.0.1:4000/"
  secret = env("TAILPOST_SECRET")
}

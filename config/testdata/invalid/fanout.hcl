database { url = env("DATABASE_URL") }
endpoint "erp" {
  url    = "https://erp.example.com"
  secret = env("ERP_SECRET")
}
fanout "nat" { # ERROR "Unknown fan-out: Write fanout \"nats\" .*Did you mean \"nats\"?"
  url        = env("NATS_URL")
  partitions = 257                 # ERROR "Number out of range: Write a number from 1 to 256"
  replicas   = 2                   # ERROR "Number out of range: Write 1, 3 or 5"
  token      = env("TOKEN")        # ERROR "Several ways to log in: Keep one: .*\"url\", \"token\" and \"user\""
  user       = "tailpost"
  password   = env("EMPTY", " ")   # ERROR "Empty secret: Set it, or leave password out"
  ca         = "ca.pem"            # ERROR "Invalid authorities: Write PEM"
  subject    = "x"                 # ERROR "Unknown attribute: There is no \"subject\" in the fanout block"
}
fanout "nats" { # ERROR "Repeated block: Another fanout block stands at .*:6. Merge"
}

database { url = env("DATABASE_URL") }
endpoint "erp" {
  url    = "https://erp.example.com"
  secret = env("ERP_SECRET")
}
fanout { # ERROR "Wrong number of labels: Write fanout \"nats\"" "Missing NATS URL: Set url"
  partitions  = 0             # ERROR "Number out of range: Write a number from 1"
  replicas    = 0             # ERROR "Number out of range: Write 1, 3 or 5"
  credentials = "hunter2"     # ERROR "Invalid credentials: Write the text of a .creds file" # WARNING "Literal secret"
}

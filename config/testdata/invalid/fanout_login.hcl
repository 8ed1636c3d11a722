database { url = env("DATABASE_URL") }
endpoint "erp" {
  url    = "https://erp.example.com"
  secret = env("ERP_SECRET")
}
fanout "nats" {
  url         = "nats://app:hunter2@n1.example.com,n2.example.com" # ERROR "Invalid NATS URL: Write nats://host:4222 or tls://host:4222" # WARNING "Literal secret"
  partitions  = "many"           # ERROR "Wrong kind of value: Write a number"
  replicas    = 1.5              # ERROR "Wrong kind of number: Write a whole number"
  password    = env("TOKEN")
  credentials = file("nowhere")  # ERROR "Unreadable file"
  user        = null             # ERROR "Missing user: Set it beside password"
}
fanout "nats" "more" { # ERROR "Wrong number of labels" "Repeated block"
}

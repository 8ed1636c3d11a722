database { url = env("DATABASE_URL") }
endpoint "erp" {
  url    = "https://erp.example.com"
  secret = env("ERP_SECRET")
}
fanout "nats" {
  url         = "nats://n1.example.com, tls://[2001:db8::2]:4223,tls://N3.example.com:4222/"
  partitions  = 256
  replicas    = 5
  credentials = file("secrets/nats.creds")
}

database { url = "host=localhost dbname=app" }
outbox {
  messages  = "myapp"
  start     = "beginning" # ERROR "No outbox table: It applies to an outbox table, and here events come from logical messages alone: name the table, or leave start out"
  retention = "168h" # ERROR "No outbox table"
  time_zone = "UTC" # ERROR "No outbox table"
}
endpoint "erp" {
  url    = "https://erp.example.com/"
  secret = env("ERP_SECRET")
}

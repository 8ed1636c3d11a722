database { url = "host=localhost dbname=app" }
outbox {
  messages  = "myapp"
  start     = "beginning" # ERROR "Setting of a table: With messages alone there is no table that it could be about: name the table, or leave start out"
  retention = "168h" # ERROR "Setting of a table"
  time_zone = "UTC" # ERROR "Setting of a table"
}
endpoint "erp" {
  url    = "https://erp.example.com/"
  secret = env("ERP_SECRET")
}

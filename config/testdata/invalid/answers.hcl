database { url = env("DATABASE_URL") }
endpoint "a" {
  url       = "https://a.example.com"
  secret    = env("ERP_SECRET")
  method    = "GET"   # ERROR "Did you mean \"PUT\""
  success   = []      # ERROR "Empty list"
  permanent = ["6xx"] # ERROR "Write a status from 200 to 599"
}
endpoint "b" {
  url       = "https://b.example.com"
  secret    = env("ERP_SECRET")
  success   = ["2xx", 307, 409] # ERROR "Status of a redirect"
  permanent = [
    308, # ERROR "Status of a redirect"
    410, # ERROR "disables the endpoint"
    409, # ERROR "409 is in success too"
  ]
}

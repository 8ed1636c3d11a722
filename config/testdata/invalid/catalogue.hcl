database { url = env("DATABASE_URL") }
catalogue {
  files = [
    "missing.yaml",               # ERROR "Unreadable file"
    "catalogue.hcl",              # ERROR "not an object"
  ]
  validate = "warning" # ERROR "Did you mean \"warn\""
  schemas  = []        # ERROR "There is no \"schemas\" in the catalogue block"
}
endpoint "a" {
  url    = "https://a.example.com"
  secret = env("ERP_SECRET")
}

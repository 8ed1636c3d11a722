database {
  url = env("DATABASE_URL")
}

endpoint "erp" {
  url    = "https://erp.example.com/tailpost"
  secret = env("ERP_SECRET")
}

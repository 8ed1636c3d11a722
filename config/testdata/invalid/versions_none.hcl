database { url = env("DATABASE_URL") }
defaults {
  version = "2026-09-20" # ERROR "The configuration has no version blocks"
}
endpoint "a" {
  url    = "https://a.example.com"
  secret = env("ERP_SECRET")
}

databse {} # ERROR "Unknown block: There is no \"databse\" in a configuration file. Did you mean \"database\"?"
timeout = "5s" # ERROR "Unknown attribute: .* It has \"database\", .* and \"log\""
log = {} # ERROR "Block written as an attribute: Write log \{ … \} without"
database "x" { # ERROR "Label on a block that has none: Write database"
  url  = env("DATABASE_URL")
  slto = "x" # ERROR "Unknown attribute: There is no \"slto\" in the database block. Did you mean \"slot\"?"
}
defaults {
  url = "https://x.example.com" # ERROR "Unknown attribute: .* It belongs in each endpoint block"
}
endpoint "a" {
  url       = "https://a.example.com"
  secret    = env("ERP_SECRET")
  timeot    = "5s" # ERROR "Did you mean \"timeout\"?"
  retry     = { schedule = [] } # ERROR "Block written as an attribute: Write retry"
  format {} # ERROR "Attribute written as a block: Write format = …"
  subscripton {} # ERROR "Unknown block: .* Did you mean \"subscription\"?"
  subscription {
    event = ["a"] # ERROR "Did you mean \"events\"?"
  }
}
endpoint "a" { # ERROR "Repeated endpoint: Endpoint \"a\" is declared at .*names.hcl:11 already"
  url    = "https://a.example.com"
  secret = env("ERP_SECRET")
}
endpoint "a b" { # ERROR "Invalid endpoint name: Write 1 to 64"
  url    = "https://a.example.com"
  secret = env("ERP_SECRET")
}
endpoint { # ERROR "Wrong number of labels: Write endpoint \"name\""
  url    = "https://a.example.com"
  secret = env("ERP_SECRET")
}
database {} # ERROR "Repeated block: Another database block stands at .*names.hcl:4"

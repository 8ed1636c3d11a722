database { url = env("DATABASE_URL") }
endpoint "a" {
  url    = "https://a.example.com"
  secret = env("ERP_SECRET")
  subscription {
    events = ["order.*", "or*der", "", "a..b", "**.a", "a b"] # ERROR "Write \"\*\" for a whole segment" "leave events out" "between the dots" "as the last segment only" "without white space"
    where  = event.dta.total > 100 # ERROR "Unknown event attribute: .*Did you mean \"data\"?"
  }
  subscription {
    events = ["order.*", "*"] # WARNING "Types without a dot only: .*Write \"\*\*\" for all types"
    where  = event.payload.total > 100 # ERROR "Unknown event attribute: .*The payload is event.data"
  }
  subscription {
    where = evnt.data.total > 100 # ERROR "Unknown variable: .*Did you mean \"event\"?"
    body  = { a = 1, a = 2 } # ERROR "Repeated attribute: \"a\" is set at line 15 already"
  }
  subscription {
    where = event.data == { a = 1 } # ERROR "Object or list as an operand"
    body  = [for x in event.data.items : x] # ERROR "Unsupported expression"
  }
  subscription {
    where = "event.data.total > 100" # ERROR "Quoted filter: Write the expression without quotes"
    body  = { (event.type) = 1 } # ERROR "Computed attribute name"
  }
  subscription {
    where = event.type == 5 # ERROR "Comparison of different kinds: The left side is a string, the right side a number"
    body  = { a = env("TOKEN") } # ERROR "Unknown function: .*reads no environment"
  }
  subscription {
    where = matches(event.type, "(") # ERROR "Invalid regular expression"
  }
  subscription {
    where = event.created_at > "yesterday" # ERROR "Comparison with a time: .*RFC 3339"
  }
  subscription {
    where = event.type # ERROR "Wrong kind of value: A filter must be true or false, not a string"
  }
  subscription {
    where = true # ERROR "Constant filter"
  }
  subscription {
    where = event.tenant == null # ERROR "Comparison with null"
  }
  subscription {
    where = lowr(event.type) == "a" && upper() == "A" # ERROR "Unknown function: .*Did you mean \"lower\"?" "Wrong number of arguments: Write upper\(text\)"
  }
  subscription {
    where = event.data.items[*].id == 1 || event.data[event.type] == 2 # ERROR "Unsupported expression" "Computed index"
  }
}

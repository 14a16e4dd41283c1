"""OKX: `GET /api/v5/account/balance`, signed, within its limit, whatever it answers.

Facts are from OKX's API guide (REST authentication, Get balance, Get account configuration, error codes) and from
what its users have seen: error bodies often have no `data`, HTTP statuses do not fit the code, redirects would carry
the key to another host, a kept-alive connection may be re-sent behind our back.
"""

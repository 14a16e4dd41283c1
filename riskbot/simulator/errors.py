"""The exchange's error codes: the HTTP status, the words, and whether the body carries `data`."""

from __future__ import annotations

import msgspec

ERRORS: dict[str, tuple[int, str]] = {
    "1": (200, "Operation failed."),
    "2": (200, "Bulk operation partially succeeded."),
    "50001": (503, "Service temporarily unavailable. Try again later"),
    "50004": (400, "API endpoint request timeout."),
    "50005": (410, "API endpoint is inactive"),
    "50007": (200, "User blocked"),
    "50008": (200, "User does not exist"),
    "50009": (200, "Account is suspended due to ongoing liquidation."),
    "50011": (429, "Too Many Requests"),
    "50012": (200, "Account status invalid."),
    "50013": (429, "Systems are busy. Please try again later."),
    "50014": (400, "Parameter cannot be empty."),
    "50015": (400, "Either parameter is required"),
    "50016": (400, "Parameters do not match"),
    "50017": (200, "Position frozen and related operations restricted due to auto-deleveraging (ADL)."),
    "50018": (200, "Currency is suspended due to auto-deleveraging (ADL)."),
    "50019": (200, "Account frozen and related operations restricted due to auto-deleveraging (ADL)."),
    "50020": (200, "Position frozen and related operations restricted due to forced liquidation."),
    "50021": (200, "Currency frozen and related operations restricted due to forced liquidation."),
    "50022": (200, "Account frozen and related operations restricted due to forced liquidation."),
    "50024": (200, "Parameters cannot be passed at the same time"),
    "50025": (200, "Parameter count exceeds the limit"),
    "50026": (500, "System error. Try again later"),
    "50027": (200, "This account is restricted from trading. Please contact customer support."),
    "50029": (200, "Your account has triggered risk control. Please contact customer support."),
    "50030": (200, "You don't have permission to use this API endpoint"),
    "50035": (403, "This endpoint requires that APIKey must be bound to IP"),
    "50040": (200, "Too frequent operations, please try again later"),
    "50041": (200, "You are currently not on the allowlist."),
    "50046": (200, "This feature is temporarily unavailable. Please try again later"),
    "50051": (200, "Due to local laws and regulations, this service is not available."),
    "50059": (200, "Complete the required steps to go on using this service."),
    "50060": (200, "Complete the verification to go on using this service."),
    "50061": (200, "You've reached the maximum order rate limit for this account."),
    "50062": (200, "This feature is currently unavailable."),
    "50064": (200, "The borrowing system is unavailable. Try again later."),
    "50067": (200, "Cross-site requests are not supported."),
    "50100": (400, "API frozen, please contact customer service."),
    "50101": (401, "APIKey does not match current environment."),
    "50102": (401, "Timestamp request expired"),
    "50103": (401, 'Request header "OK-ACCESS-KEY" can\'t be empty.'),
    "50104": (401, 'Request header "OK-ACCESS-PASSPHRASE" can\'t be empty.'),
    "50105": (401, 'Request header "OK-ACCESS-PASSPHRASE" incorrect.'),
    "50106": (401, 'Request header "OK-ACCESS-SIGN" can\'t be empty.'),
    "50107": (401, 'Request header "OK-ACCESS-TIMESTAMP" can\'t be empty.'),
    "50108": (401, "Exchange ID does not exist."),
    "50109": (401, "Exchange domain does not exist."),
    "50110": (401, "Your IP is not included in your API key's IP whitelist."),
    "50111": (401, "Invalid OK-ACCESS-KEY"),
    "50112": (401, "Invalid OK-ACCESS-TIMESTAMP"),
    "50113": (401, "Invalid signature"),
    "50114": (401, "Invalid authorization"),
    "50115": (405, "Invalid request method"),
    "50119": (401, "API key doesn't exist"),
    "50120": (200, "This API key doesn't have permission to use this function"),
    "50121": (200, "You can't access our services through the IP address."),
    "51000": (400, "Parameter error"),
}
"""Code to HTTP status and message. Where OKX lists two statuses (50011, 50119), the one that it really sends."""

GATEWAY = {"50011", "50013", "50001", *(str(code) for code in range(50100, 50122))}
"""These are answered before the request reaches the account's servers; their bodies carry no `data`."""


class Refusal(Exception):  # noqa: N818 - it is an answer of the exchange, not a defect of the simulator
    """The exchange answers with an error code.

    code: OKX's. status: HTTP status, by the table unless given. text: the `msg`, by the table unless given.
    """

    def __init__(self, code: str, text: str = "", status: int = 0) -> None:
        known_status, known_text = ERRORS.get(code.partition("_")[0], (200, "Refused by the simulator."))
        super().__init__(code)
        self.code = code
        self.text = text or known_text
        self.status = status or known_status

    @property
    def body(self) -> bytes:
        """The JSON that goes over the wire."""
        bare = {"msg": self.text, "code": self.code}
        return msgspec.json.encode(bare if self.code in GATEWAY else {"code": self.code, "data": [], "msg": self.text})

"""
A small telephone network to try things with: two SIP Servers, a DNS server and two phones.

It is there so that a call works with nothing else installed, and so that somebody can kill a
server and watch. It lives on the loopback interface only.
"""

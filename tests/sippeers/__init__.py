"""The B2BUA against programs that nobody here wrote: SIPp, Kamailio, baresip, sipsak, tshark."""

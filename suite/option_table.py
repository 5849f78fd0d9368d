"""The one table of every option that any of the files may hold."""

from __future__ import annotations

from suite.option_table_b2bua import B2BUA, LAB, USERS
from suite.option_table_gateway import EMS, LOG, RSMP, SNMP
from suite.option_table_suite import SUITE
from suite.option_table_turn import TURN
from suite.option_table_web import GATEWAY
from suite.options import OptionTable

OPTIONS = OptionTable((*SUITE, *TURN, *RSMP, *GATEWAY, *B2BUA, *USERS, *LAB, *LOG, *EMS, *SNMP))

from hypothesis import settings
import tests.policies.test_promises as m
import tests.test_dispatch as d
import tests.policies.test_policies as p
for name in ("test_networks_stay_within_the_budget","test_mema_stays_within_the_budget"):
    globals()[name]=settings(max_examples=3000)(getattr(m,name))
for name in ("test_every_task_once_in_order","test_each_dropped_request_is_discarded_once"):
    globals()[name]=settings(max_examples=4000)(getattr(d,name))

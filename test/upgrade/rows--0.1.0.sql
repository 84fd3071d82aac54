SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
COPY durable_work.dead_letter (queue, job_id, topic, key_hash, priority, max_attempts, attempts, enqueued_at, dead_at, expires_at, partition_key, reason, payload, headers, history) FROM stdin;
2	52	2	-2015276567	4	\N	1	2026-11-27 02:06:40.187145+00	2026-11-27 02:06:40.187505+00	\N	\N	poison	{"n": "rejected", "is": "dead_letter"}	\N	[{"at": "2026-11-27T02:06:40.187505+00:00", "event": "dead_lettered", "reason": "poison", "worker": "filler", "attempt": 1}]
7	55	7	-2065609424	4	\N	1	2026-11-27 02:06:40.18873+00	2026-11-27 02:06:40.18918+00	\N	\N	attempts exhausted	{"n": "broken 2", "is": "being redriven"}	\N	[{"at": "2026-11-27T02:06:40.18918+00:00", "error": {"why": "broken 2"}, "event": "dead_lettered", "reason": "attempts exhausted", "worker": "filler", "attempt": 1}]
7	56	7	-1813945139	4	\N	1	2026-11-27 02:06:40.18873+00	2026-11-27 02:06:40.189213+00	\N	\N	attempts exhausted	{"n": "broken 3", "is": "being redriven"}	\N	[{"at": "2026-11-27T02:06:40.189213+00:00", "error": {"why": "broken 3"}, "event": "dead_lettered", "reason": "attempts exhausted", "worker": "filler", "attempt": 1}]
7	57	7	-1830722758	4	\N	1	2026-11-27 02:06:40.18873+00	2026-11-27 02:06:40.189241+00	\N	\N	attempts exhausted	{"n": "broken 4", "is": "dead_letter"}	\N	[{"at": "2026-11-27T02:06:40.189241+00:00", "error": {"why": "broken 4"}, "event": "dead_lettered", "reason": "attempts exhausted", "worker": "filler", "attempt": 1}]
7	58	7	-1847500377	4	\N	1	2026-11-27 02:06:40.18873+00	2026-11-27 02:06:40.189265+00	\N	\N	attempts exhausted	{"n": "broken 5", "is": "dead_letter"}	\N	[{"at": "2026-11-27T02:06:40.189265+00:00", "error": {"why": "broken 5"}, "event": "dead_lettered", "reason": "attempts exhausted", "worker": "filler", "attempt": 1}]
7	59	7	-1864277996	4	\N	1	2026-11-27 02:06:40.18873+00	2026-11-27 02:06:40.189291+00	\N	\N	attempts exhausted	{"n": "broken 6", "is": "dead_letter"}	\N	[{"at": "2026-11-27T02:06:40.189291+00:00", "error": {"why": "broken 6"}, "event": "dead_lettered", "reason": "attempts exhausted", "worker": "filler", "attempt": 1}]
\.
COPY durable_work.epoch (value, system_identifier, timeline, database_oid, table_oid, raised_at) FROM stdin;
28519600	7712666894902736141	1	16384	16413	2026-11-27 02:06:40.163656+00
\.
COPY durable_work.fence_token (resource, token) FROM stdin;
file	77
\.
COPY durable_work.handled (handler, key, handled_at, expires_at) FROM stdin;
mail	order 1	2026-11-27 02:06:40.202145+00	2126-11-03 02:06:40.202145+00
\.
COPY durable_work.idempotency (topic, key, job_id, payload_hash, expires_at) FROM stdin;
2	key	69	3717946776165717462	2126-11-03 02:06:40.197012+00
2	one	70	866285467005753126	2126-11-03 02:06:40.197331+00
9	purged 1	79	-3429588859295759157	2026-12-04 02:06:40.199694+00
9	purged 2	80	-8337616742169050420	2026-12-04 02:06:40.199735+00
9	purged 3	81	-5648332463639128783	2026-12-04 02:06:40.199755+00
\.
COPY durable_work.job_0 (id, enqueued_at, topic, key_hash, priority, max_attempts, available_at, expires_at, partition_key, payload, headers) FROM stdin;
1	2026-11-27 02:06:40.17557+00	2	-183745553	4	\N	\N	\N	p	{"n": "completed", "is": "completed"}	\N
2	2026-11-27 02:06:40.175798+00	2	-1713279425	4	\N	\N	\N	\N	{"n": "completed with a result", "is": "completed"}	{"h": 1}
3	2026-11-27 02:06:40.175865+00	2	-1730057044	4	\N	\N	\N	\N	{"n": "failed once, completed", "is": "completed"}	\N
4	2026-11-27 02:06:40.181122+00	2	-1746834663	4	\N	\N	\N	\N	{"n": "batch 1", "is": "completed"}	\N
5	2026-11-27 02:06:40.181122+00	2	-1763612282	4	\N	\N	\N	\N	{"n": "batch 2", "is": "completed"}	\N
6	2026-11-27 02:06:40.181122+00	2	-1780389901	4	\N	\N	\N	\N	{"n": "batch 3", "is": "completed"}	\N
7	2026-11-27 02:06:40.181122+00	2	-1797167520	4	\N	\N	\N	\N	{"n": "batch 4", "is": "completed"}	\N
8	2026-11-27 02:06:40.181122+00	2	-1545503235	4	\N	\N	\N	\N	{"n": "batch 5", "is": "completed"}	\N
9	2026-11-27 02:06:40.181122+00	2	-1562280854	4	\N	\N	\N	\N	{"n": "batch 6", "is": "completed"}	\N
10	2026-11-27 02:06:40.181122+00	2	-1579058473	4	\N	\N	\N	\N	{"n": "batch 7", "is": "completed"}	\N
11	2026-11-27 02:06:40.181122+00	2	-1595836092	4	\N	\N	\N	\N	{"n": "batch 8", "is": "completed"}	\N
12	2026-11-27 02:06:40.181122+00	2	-1612613711	4	\N	\N	\N	\N	{"n": "batch 9", "is": "completed"}	\N
13	2026-11-27 02:06:40.181122+00	2	-1629391330	4	\N	\N	\N	\N	{"n": "batch 10", "is": "completed"}	\N
14	2026-11-27 02:06:40.181122+00	2	-1646168949	4	\N	\N	\N	\N	{"n": "batch 11", "is": "completed"}	\N
15	2026-11-27 02:06:40.181122+00	2	-1662946568	4	\N	\N	\N	\N	{"n": "batch 12", "is": "completed"}	\N
16	2026-11-27 02:06:40.181122+00	2	-1411282283	4	\N	\N	\N	\N	{"n": "batch 13", "is": "completed"}	\N
17	2026-11-27 02:06:40.181122+00	2	-1428059902	4	\N	\N	\N	\N	{"n": "batch 14", "is": "completed"}	\N
18	2026-11-27 02:06:40.181122+00	2	-1444837521	4	\N	\N	\N	\N	{"n": "batch 15", "is": "completed"}	\N
19	2026-11-27 02:06:40.181122+00	2	-1461615140	4	\N	\N	\N	\N	{"n": "batch 16", "is": "completed"}	\N
20	2026-11-27 02:06:40.181122+00	2	-1478392759	4	\N	\N	\N	\N	{"n": "batch 17", "is": "completed"}	\N
21	2026-11-27 02:06:40.181122+00	2	-1495170378	4	\N	\N	\N	\N	{"n": "batch 18", "is": "completed"}	\N
22	2026-11-27 02:06:40.181122+00	2	-1511947997	4	\N	\N	\N	\N	{"n": "batch 19", "is": "completed"}	\N
23	2026-11-27 02:06:40.181122+00	2	-1528725616	4	\N	\N	\N	\N	{"n": "batch 20", "is": "completed"}	\N
24	2026-11-27 02:06:40.181122+00	2	-1277061331	4	\N	\N	\N	\N	{"n": "batch 21", "is": "completed"}	\N
25	2026-11-27 02:06:40.181122+00	2	-1293838950	4	\N	\N	\N	\N	{"n": "batch 22", "is": "completed"}	\N
26	2026-11-27 02:06:40.181122+00	2	-1310616569	4	\N	\N	\N	\N	{"n": "batch 23", "is": "completed"}	\N
27	2026-11-27 02:06:40.181122+00	2	-1327394188	4	\N	\N	\N	\N	{"n": "batch 24", "is": "completed"}	\N
28	2026-11-27 02:06:40.181122+00	2	-1344171807	4	\N	\N	\N	\N	{"n": "batch 25", "is": "completed"}	\N
29	2026-11-27 02:06:40.181122+00	2	-1360949426	4	\N	\N	\N	\N	{"n": "batch 26", "is": "completed"}	\N
30	2026-11-27 02:06:40.181122+00	2	-1377727045	4	\N	\N	\N	\N	{"n": "batch 27", "is": "completed"}	\N
31	2026-11-27 02:06:40.181122+00	2	-1394504664	4	\N	\N	\N	\N	{"n": "batch 28", "is": "completed"}	\N
32	2026-11-27 02:06:40.181122+00	2	2078359301	4	\N	\N	\N	\N	{"n": "batch 29", "is": "completed"}	\N
33	2026-11-27 02:06:40.181122+00	2	2061581682	4	\N	\N	\N	\N	{"n": "batch 30", "is": "completed"}	\N
34	2026-11-27 02:06:40.181122+00	2	2044804063	4	\N	\N	\N	\N	{"n": "batch 31", "is": "completed"}	\N
35	2026-11-27 02:06:40.181122+00	2	2028026444	4	\N	\N	\N	\N	{"n": "batch 32", "is": "completed"}	\N
36	2026-11-27 02:06:40.181122+00	2	2011248825	4	\N	\N	\N	\N	{"n": "batch 33", "is": "completed"}	\N
37	2026-11-27 02:06:40.181122+00	2	1994471206	4	\N	\N	\N	\N	{"n": "batch 34", "is": "completed"}	\N
38	2026-11-27 02:06:40.181122+00	2	1977693587	4	\N	\N	\N	\N	{"n": "batch 35", "is": "completed"}	\N
39	2026-11-27 02:06:40.181122+00	2	1960915968	4	\N	\N	\N	\N	{"n": "batch 36", "is": "completed"}	\N
40	2026-11-27 02:06:40.181122+00	2	-2082387043	4	\N	\N	\N	\N	{"n": "batch 37", "is": "completed"}	\N
41	2026-11-27 02:06:40.181122+00	2	-2099164662	4	\N	\N	\N	\N	{"n": "batch 38", "is": "completed"}	\N
42	2026-11-27 02:06:40.181122+00	2	-2115942281	4	\N	\N	\N	\N	{"n": "batch 39", "is": "completed"}	\N
43	2026-11-27 02:06:40.181122+00	2	-2132719900	4	\N	\N	\N	\N	{"n": "batch 40", "is": "completed"}	\N
44	2026-11-27 02:06:40.182478+00	2	2145469777	4	\N	\N	\N	\N	{"n": "cancelled", "is": "cancelled"}	\N
46	2026-11-27 02:06:40.183185+00	2	526559918	4	\N	\N	\N	gone	{"n": "cancelled of many", "is": "cancelled"}	\N
47	2026-11-27 02:06:40.183185+00	2	526559918	4	\N	\N	\N	gone	{"n": "cancelled of many", "is": "cancelled"}	\N
48	2026-11-27 02:06:40.183185+00	2	526559918	4	\N	\N	\N	gone	{"n": "cancelled of many", "is": "cancelled"}	\N
49	2026-11-27 02:06:40.183185+00	2	526559918	4	\N	\N	\N	gone	{"n": "cancelled of many", "is": "cancelled"}	\N
50	2026-11-27 02:06:40.183185+00	2	526559918	4	\N	\N	\N	gone	{"n": "cancelled of many", "is": "cancelled"}	\N
52	2026-11-27 02:06:40.187145+00	2	-2015276567	4	\N	\N	\N	\N	{"n": "rejected", "is": "dead_letter"}	\N
53	2026-11-27 02:06:40.187505+00	1	-2032054186	4	\N	\N	\N	\N	{"n": "rejected", "is": "dead_letter"}	{"dead_letter": {"queue": "main", "job_id": 52, "reason": "poison", "dead_at": "2026-11-27T02:06:40.187505+00:00", "attempts": 1}}
54	2026-11-27 02:06:40.18873+00	7	-2048831805	4	\N	\N	\N	\N	{"n": "broken 1", "is": "being redriven"}	\N
55	2026-11-27 02:06:40.18873+00	7	-2065609424	4	\N	\N	\N	\N	{"n": "broken 2", "is": "being redriven"}	\N
56	2026-11-27 02:06:40.18873+00	7	-1813945139	4	\N	\N	\N	\N	{"n": "broken 3", "is": "being redriven"}	\N
57	2026-11-27 02:06:40.18873+00	7	-1830722758	4	\N	\N	\N	\N	{"n": "broken 4", "is": "dead_letter"}	\N
58	2026-11-27 02:06:40.18873+00	7	-1847500377	4	\N	\N	\N	\N	{"n": "broken 5", "is": "dead_letter"}	\N
59	2026-11-27 02:06:40.18873+00	7	-1864277996	4	\N	\N	\N	\N	{"n": "broken 6", "is": "dead_letter"}	\N
60	2026-11-27 02:06:40.188835+00	7	-1881055615	4	\N	\N	\N	\N	{"n": "redriven", "is": "pending"}	\N
61	2026-11-27 02:06:40.194016+00	2	-1897833234	4	\N	\N	\N	\N	{"n": "retried", "is": "pending"}	\N
62	2026-11-27 02:06:40.194099+00	2	-1914610853	4	\N	\N	\N	\N	{"n": "retried later", "is": "pending"}	\N
63	2026-11-27 02:06:40.194159+00	2	-1931388472	4	\N	\N	\N	\N	{"n": "deferred", "is": "pending"}	\N
64	2026-11-27 02:06:40.196589+00	2	-183745553	4	\N	\N	\N	p	{"n": "ready", "is": "pending"}	{"h": 2}
65	2026-11-27 02:06:40.196722+00	2	-622734190	1	\N	\N	\N	\N	{"n": "urgent", "is": "pending"}	\N
66	2026-11-27 02:06:40.196813+00	2	-639511809	4	\N	2026-11-27 02:16:40.196813+00	\N	\N	{"n": "delayed", "is": "pending"}	\N
69	2026-11-27 02:06:40.197012+00	2	-689844666	4	\N	\N	\N	\N	{"n": "with a key", "is": "pending"}	\N
70	2026-11-27 02:06:40.197331+00	2	-706622285	4	\N	\N	\N	\N	{"n": "one at a time", "is": "pending"}	\N
71	2026-11-27 02:06:40.197454+00	2	-723399904	4	\N	\N	\N	\N	{"n": "put off", "is": "pending"}	\N
72	2026-11-27 02:06:40.197626+00	2	-471735619	4	\N	\N	\N	\N	{"n": "as it was", "is": "never"}	\N
73	2026-11-27 02:06:40.198055+00	10	-488513238	4	\N	\N	\N	\N	{"n": "of the default queue", "is": "pending"}	\N
74	2026-11-27 02:06:40.198209+00	5	-505290857	4	\N	\N	\N	\N	{"n": "paused", "is": "pending"}	\N
75	2026-11-27 02:06:40.198963+00	6	-522068476	4	\N	\N	\N	\N	{"n": "short 1", "is": "pending"}	\N
76	2026-11-27 02:06:40.198972+00	6	-538846095	4	\N	\N	\N	\N	{"n": "short 2", "is": "pending"}	\N
77	2026-11-27 02:06:40.199056+00	4	-555623714	4	\N	\N	\N	\N	{"n": "at most once", "is": "pending"}	\N
78	2026-11-27 02:06:40.199155+00	8	-572401333	4	\N	\N	\N	\N	{"n": "of a dropped queue", "is": "gone"}	\N
79	2026-11-27 02:06:40.199694+00	9	-589178952	4	\N	\N	\N	\N	{"n": "purged 1", "is": "cancelled"}	\N
80	2026-11-27 02:06:40.199735+00	9	-337514667	4	\N	\N	\N	\N	{"n": "purged 2", "is": "cancelled"}	\N
81	2026-11-27 02:06:40.199755+00	9	-354292286	4	\N	\N	\N	\N	{"n": "purged 3", "is": "cancelled"}	\N
83	2026-11-27 02:06:40.201633+00	3	-387847524	4	\N	\N	\N	\N	{"n": "held, recorded", "is": "pending"}	\N
84	2026-11-27 02:06:40.201807+00	2	-404625143	0	\N	\N	\N	\N	{"n": "held", "is": "pending"}	\N
\.
COPY durable_work.job_1 (id, enqueued_at, topic, key_hash, priority, max_attempts, available_at, expires_at, partition_key, payload, headers) FROM stdin;
\.
COPY durable_work.job_2 (id, enqueued_at, topic, key_hash, priority, max_attempts, available_at, expires_at, partition_key, payload, headers) FROM stdin;
\.
COPY durable_work.job_3 (id, enqueued_at, topic, key_hash, priority, max_attempts, available_at, expires_at, partition_key, payload, headers) FROM stdin;
\.
COPY durable_work.job_4 (id, enqueued_at, topic, key_hash, priority, max_attempts, available_at, expires_at, partition_key, payload, headers) FROM stdin;
\.
COPY durable_work.job_5 (id, enqueued_at, topic, key_hash, priority, max_attempts, available_at, expires_at, partition_key, payload, headers) FROM stdin;
\.
COPY durable_work.job_6 (id, enqueued_at, topic, key_hash, priority, max_attempts, available_at, expires_at, partition_key, payload, headers) FROM stdin;
\.
COPY durable_work.job_7 (id, enqueued_at, topic, key_hash, priority, max_attempts, available_at, expires_at, partition_key, payload, headers) FROM stdin;
\.
COPY durable_work.outcome_0 (first_id, last_id, body, detail) FROM stdin;
1	\N	\\x00c3ce906a000201000000b02cb301	\N
2	\N	\\x00c3ce906a000202000000b02cb301	{"sum": 7}
3	\N	\\x01c3ce906a000203000000b02cb3010100	{"error": {"why": "first"}, "worker": "filler"}
3	\N	\\x10c3ce906a000204000000b02cb301	\N
4	43	\\x50c3ce906a000205000000b02cb30127020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202	\N
44	\N	\\x63c3ce906a00022d000000b02cb301	\N
46	50	\\xa3c3ce906a000230000000b02cb301040202020202020202	\N
52	\N	\\xb2c3ce906a000235000000b02cb3010100	{"reason": "poison", "worker": "filler"}
54	\N	\\xd2c3ce906a000736000000b02cb3010100	{"error": {"why": "broken 1"}, "reason": "attempts exhausted", "worker": "filler"}
55	\N	\\xd2c3ce906a000737000000b02cb3010100	{"error": {"why": "broken 2"}, "reason": "attempts exhausted", "worker": "filler"}
56	\N	\\xd2c3ce906a000738000000b02cb3010100	{"error": {"why": "broken 3"}, "reason": "attempts exhausted", "worker": "filler"}
57	\N	\\xd2c3ce906a000739000000b02cb3010100	{"error": {"why": "broken 4"}, "reason": "attempts exhausted", "worker": "filler"}
58	\N	\\xd2c3ce906a00073a000000b02cb3010100	{"error": {"why": "broken 5"}, "reason": "attempts exhausted", "worker": "filler"}
59	\N	\\xd2c3ce906a00073b000000b02cb3010100	{"error": {"why": "broken 6"}, "reason": "attempts exhausted", "worker": "filler"}
60	\N	\\xd2c3ce906a00073c000000b02cb3010100	{"error": {"why": "redriven"}, "reason": "attempts exhausted", "worker": "filler"}
60	\N	\\xd4c3ce906a00073d000000b02cb301	\N
61	\N	\\x21c4ce906a00023e000000b02cb3010100	{"error": {"why": "again"}, "worker": "filler"}
62	\N	\\x21c4ce906a00023f000000b02cb3010182c09e8fc101	{"error": {"why": "later"}, "worker": "filler"}
63	\N	\\x26c4ce906a000240000000b02cb30100fcbed1acf373	\N
54	\N	\\x44c4ce906a000741000000b02cb301	\N
71	\N	\\x56c4ce906a000242000000b02cb30100f6bed1acf373	{"reason": "rescheduled"}
72	\N	\\x54c4ce906a000243000000b02cb301	\N
79	81	\\x78c4ce906a000946000000b02cb3010202010201	{"reason": "purged"}
83	\N	\\x95c4ce906a000347000000b02cb3010100	{"worker": "filler"}
\.
COPY durable_work.outcome_1 (first_id, last_id, body, detail) FROM stdin;
\.
COPY durable_work.outcome_2 (first_id, last_id, body, detail) FROM stdin;
\.
COPY durable_work.outcome_3 (first_id, last_id, body, detail) FROM stdin;
\.
COPY durable_work.outcome_4 (first_id, last_id, body, detail) FROM stdin;
\.
COPY durable_work.outcome_5 (first_id, last_id, body, detail) FROM stdin;
\.
COPY durable_work.outcome_6 (first_id, last_id, body, detail) FROM stdin;
\.
COPY durable_work.outcome_7 (first_id, last_id, body, detail) FROM stdin;
\.
COPY durable_work.parked (id, enqueued_at, topic, key_hash, priority, max_attempts, available_at, expires_at, partition_key, payload, headers) FROM stdin;
45	2026-11-27 02:06:40.182674+00	2	2128692158	4	\N	2081-08-30 02:06:40.182673+00	\N	\N	{"n": "cancelled while parked", "is": "cancelled"}	\N
60	2026-11-27 02:06:40.188835+00	7	-1881055615	4	\N	2026-11-27 02:06:40.189857+00	\N	\N	{"n": "redriven", "is": "pending"}	\N
54	2026-11-27 02:06:40.18873+00	7	-2048831805	4	\N	2026-11-27 02:06:40.196234+00	\N	\N	{"n": "broken 1", "is": "being redriven"}	\N
67	2026-11-27 02:06:40.196877+00	2	-656289428	4	\N	2090-01-01 00:00:00+00	\N	\N	{"n": "parked", "is": "pending"}	\N
68	2026-11-27 02:06:40.196949+00	2	-673067047	4	\N	2090-01-01 00:00:00+00	2091-01-01 00:00:00+00	\N	{"n": "expires one day", "is": "pending"}	\N
72	2026-11-27 02:06:40.197626+00	2	-471735619	4	\N	2026-11-27 02:06:40.197627+00	\N	\N	{"n": "changed", "is": "pending"}	\N
\.
COPY durable_work.parked_outcome (first_id, last_id, body, detail) FROM stdin;
45	\N	\\x63c3ce906a00022f000000b02cb301	\N
60	\N	\\xd9c3ce906a00073d000000b02cb3010001	{"queue": "broken", "reason": "redriven", "history": [{"at": "2026-11-27T02:06:40.189305+00:00", "error": {"why": "redriven"}, "event": "dead_lettered", "reason": "attempts exhausted", "worker": "filler", "attempt": 1}]}
54	\N	\\x49c4ce906a000741000000b02cb3010001	{"queue": "broken", "reason": "redriven", "history": [{"at": "2026-11-27T02:06:40.189108+00:00", "error": {"why": "broken 1"}, "event": "dead_lettered", "reason": "attempts exhausted", "worker": "filler", "attempt": 1}]}
72	\N	\\x57c4ce906a000243000000b02cb3010001	{"reason": "payload updated", "history": []}
\.
COPY durable_work.queue (id, name, topic, lease, backoff, backoff_base, backoff_cap, jitter, delivery, max_length, overflow, retention, dead_letter_queue, durable_claims, strict, max_runtime, max_payload, paused, created_at) FROM stdin;
1	dead end	1	00:01:30	exponential	00:00:05	01:00:00	1	at_least_once	\N	reject	1 day	\N	f	f	\N	1048576	f	2026-11-27 02:06:40.171857+00
2	main	2	00:05:00	fixed	00:00:00	01:00:00	0	at_least_once	\N	reject	36500 days	1	f	f	\N	1048576	f	2026-11-27 02:06:40.172493+00
3	recorded	3	00:01:30	fixed	00:00:00	01:00:00	0	at_least_once	\N	reject	1 day	\N	t	t	01:00:00	1048576	f	2026-11-27 02:06:40.172823+00
4	once	4	00:01:30	exponential	00:00:05	01:00:00	1	at_most_once	\N	reject	1 day	\N	f	f	\N	1048576	f	2026-11-27 02:06:40.173077+00
6	short	6	00:01:30	exponential	00:00:05	01:00:00	1	at_least_once	2	reject	1 day	\N	f	f	\N	2048	f	2026-11-27 02:06:40.173544+00
7	broken	7	00:01:30	exponential	00:00:05	01:00:00	1	at_least_once	\N	reject	1 day	\N	f	f	\N	1048576	f	2026-11-27 02:06:40.173763+00
9	emptied	9	00:01:30	exponential	00:00:05	01:00:00	1	at_least_once	\N	reject	1 day	\N	f	f	\N	1048576	f	2026-11-27 02:06:40.175122+00
10	default	10	00:01:30	exponential	00:00:05	01:00:00	1	at_least_once	\N	reject	1 day	\N	f	f	\N	1048576	f	2026-11-27 02:06:40.197934+00
5	paused	5	00:01:30	exponential	00:00:05	01:00:00	1	at_least_once	\N	reject	1 day	\N	f	f	\N	1048576	t	2026-11-27 02:06:40.173315+00
\.
COPY durable_work.redrive_task (id, queue, to_queue, job_ids, error_like, since, until, max_jobs, rate_per_second, matched, moved, position_dead_at, position_job_id, left_out, state, error, started_at, ended_at) FROM stdin;
1	7	7	\N	%broken%	-infinity	2026-11-27 02:06:40.192848+00	3	0.001	3	1	2026-11-27 02:06:40.189108+00	54	f	running	\N	2026-11-27 02:06:40.193192+00	\N
\.
COPY durable_work.topic (id, name, dedupe_window, max_attempts, created_at) FROM stdin;
1	dead end	7 days	3	2026-11-27 02:06:40.171588+00
2	main	36500 days	7	2026-11-27 02:06:40.172428+00
3	recorded	7 days	20	2026-11-27 02:06:40.172766+00
4	once	7 days	20	2026-11-27 02:06:40.173024+00
5	paused	7 days	20	2026-11-27 02:06:40.173265+00
6	short	7 days	20	2026-11-27 02:06:40.173497+00
7	broken	7 days	1	2026-11-27 02:06:40.173716+00
9	emptied	7 days	20	2026-11-27 02:06:40.175074+00
10	default	7 days	20	2026-11-27 02:06:40.197863+00
\.
SELECT pg_catalog.setval('durable_work.job_id_seq', 65, true);
SELECT pg_catalog.setval('durable_work.queue_id_seq', 10, true);
SELECT pg_catalog.setval('durable_work.redrive_id_seq', 1, true);
SELECT pg_catalog.setval('durable_work.topic_id_seq', 10, true);

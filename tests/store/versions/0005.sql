BEGIN TRANSACTION;
CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL,
    PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0005');
CREATE TABLE events (
    tenant TEXT NOT NULL,
    run_id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    count INTEGER NOT NULL,
    events TEXT NOT NULL,
    schema_version INTEGER NOT NULL,
    PRIMARY KEY (tenant, run_id, sequence),
    CONSTRAINT events_of_run FOREIGN KEY(tenant, run_id) REFERENCES runs (tenant, run_id) ON DELETE CASCADE
);
INSERT INTO "events" VALUES('local','r1',0,3,'[[0,"run_started",0.0,null,{"question":"2 + 2","graph":"g1","seed":7,"clock":5.5,"user":"ann","session":"s1"}],[2,"node_finished",1.0,"solver",{"text":"4"}],[3,"run_finished",1.5,null,{"answer":"4","status":"answered","cost":{"macs":12,"tokens_in":3,"tokens_out":2,"milliseconds":1.5,"money":0.25}}]]',1);
INSERT INTO "events" VALUES('local','r2',0,3,'[[0,"run_started",0.0,null,{"question":"2 + 2","graph":"g1","seed":7,"clock":5.5,"user":"ann","session":"s1"}],[2,"node_finished",1.0,"solver",{"text":"4"}],[3,"run_finished",1.5,null,{"answer":"4","status":"answered","cost":{"macs":12,"tokens_in":3,"tokens_out":2,"milliseconds":1.5,"money":0.25}}]]',1);
CREATE TABLE facts (
    number INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    user_id TEXT NOT NULL,
    fact_id TEXT NOT NULL,
    text TEXT NOT NULL,
    created FLOAT NOT NULL,
    PRIMARY KEY (number),
    CONSTRAINT facts_by_user UNIQUE (tenant, user_id, fact_id)
);
INSERT INTO "facts" VALUES(1,'local','ann','f0','prefers tea',1000.0);
CREATE TABLE files (
    tenant TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    content BLOB NOT NULL,
    created FLOAT NOT NULL,
    PRIMARY KEY (tenant, sha256)
);
INSERT INTO "files" VALUES('local','ab',X'00FF',1000.0);
CREATE TABLE grades (
    number INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    run_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    grader TEXT NOT NULL,
    score FLOAT,
    reason TEXT NOT NULL,
    reference TEXT,
    created FLOAT NOT NULL,
    replaced FLOAT,
    PRIMARY KEY (number),
    CONSTRAINT grades_of_run FOREIGN KEY(tenant, run_id) REFERENCES runs (tenant, run_id) ON DELETE CASCADE
);
INSERT INTO "grades" VALUES(1,'local','r1','thumb','ann',1.0,'good',NULL,1000.0,1000.0);
INSERT INTO "grades" VALUES(2,'local','r1','correction','ann',0.0,'4, and ''5'' is right','5',1000.0,NULL);
CREATE TABLE graphs (
    tenant TEXT NOT NULL,
    graph_id TEXT NOT NULL,
    name TEXT NOT NULL,
    source TEXT NOT NULL,
    created FLOAT NOT NULL,
    PRIMARY KEY (tenant, graph_id)
);
CREATE TABLE runs (
    number INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    run_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    session TEXT,
    graph TEXT NOT NULL,
    seed TEXT NOT NULL,
    clock FLOAT NOT NULL,
    question TEXT NOT NULL,
    created FLOAT NOT NULL,
    schema_version INTEGER NOT NULL,
    answer TEXT,
    status TEXT,
    macs BIGINT,
    tokens_in BIGINT,
    tokens_out BIGINT,
    milliseconds FLOAT,
    money FLOAT,
    PRIMARY KEY (number),
    CONSTRAINT runs_by_id UNIQUE (tenant, run_id)
);
INSERT INTO "runs" VALUES(1,'local','r1','ann','s1','g1','7',5.5,'2 + 2',1000.0,1,'4','answered',12,3,2,1.5,0.25);
INSERT INTO "runs" VALUES(2,'local','r2','ann','s1','g1','7',5.5,'2 + 2',1000.0,1,'4','answered',12,3,2,1.5,0.25);
CREATE TABLE tickets (
    tenant TEXT NOT NULL,
    ticket_id TEXT NOT NULL,
    run_id TEXT NOT NULL,
    question TEXT NOT NULL,
    reason TEXT NOT NULL,
    created FLOAT NOT NULL,
    answer TEXT,
    PRIMARY KEY (tenant, ticket_id)
);
CREATE TABLE trials (
    place INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    trial_id TEXT NOT NULL,
    network TEXT NOT NULL,
    edit TEXT NOT NULL,
    node TEXT NOT NULL,
    reason TEXT NOT NULL,
    state TEXT NOT NULL,
    verdict TEXT NOT NULL,
    number INTEGER,
    evidence TEXT NOT NULL,
    created FLOAT NOT NULL,
    PRIMARY KEY (place),
    CONSTRAINT trials_by_id UNIQUE (tenant, trial_id),
    CONSTRAINT trials_by_number UNIQUE (tenant, network, number)
);
INSERT INTO "trials" VALUES(1,'local','t1','net','expand','numbers','a node fails','adopted','',1,'{"p": [0.01, null]}',1000.0);
CREATE TABLE versions (
    tenant TEXT NOT NULL,
    network TEXT NOT NULL,
    revision INTEGER NOT NULL,
    graph TEXT NOT NULL,
    edit TEXT NOT NULL,
    reason TEXT NOT NULL,
    changes TEXT NOT NULL,
    trial TEXT,
    created FLOAT NOT NULL,
    PRIMARY KEY (tenant, network, revision)
);
INSERT INTO "versions" VALUES('local','net',0,'g0','file','as it is in the file','[]',NULL,1000.0);
INSERT INTO "versions" VALUES('local','net',1,'g1','expand','a node fails','[{"path": "nodes.a.kind", "before": null, "after": "exit", "kind": "added"}]','t1',1000.0);
CREATE INDEX runs_by_age ON runs (created);
CREATE INDEX grades_by_run ON grades (tenant, run_id);
COMMIT;

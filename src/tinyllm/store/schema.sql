BEGIN IMMEDIATE;
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
CREATE INDEX runs_by_age ON runs (created);
CREATE TABLE graphs (
    tenant TEXT NOT NULL,
    graph_id TEXT NOT NULL,
    name TEXT NOT NULL,
    source TEXT NOT NULL,
    created FLOAT NOT NULL,
    PRIMARY KEY (tenant, graph_id)
);
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
    share FLOAT DEFAULT 1 NOT NULL,
    evidence TEXT DEFAULT '{}' NOT NULL,
    PRIMARY KEY (tenant, network, revision)
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
CREATE TABLE files (
    tenant TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    content BLOB NOT NULL,
    created FLOAT NOT NULL,
    PRIMARY KEY (tenant, sha256)
);
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
CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL,
    PRIMARY KEY (version_num)
);
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
CREATE INDEX grades_by_run ON grades (tenant, run_id);
INSERT INTO alembic_version VALUES ('0006');
COMMIT;

-- A file of version 4, as `iterdump` gives it.
BEGIN TRANSACTION;
CREATE TABLE agents (
            owner    TEXT NOT NULL,
            id       TEXT NOT NULL,
            revision INTEGER NOT NULL,
            deleted  INTEGER NOT NULL DEFAULT 0,
            PRIMARY KEY (owner, id)
        ) WITHOUT ROWID
        ;
INSERT INTO "agents" VALUES('ada','deleted',1,1);
INSERT INTO "agents" VALUES('ada','reviewer',2,0);
CREATE TABLE approvals (
            number     INTEGER PRIMARY KEY,
            owner      TEXT NOT NULL,
            id         TEXT NOT NULL,
            run_id     TEXT NOT NULL,
            created_at INTEGER NOT NULL,
            waiting    INTEGER NOT NULL,
            record     TEXT NOT NULL,
            UNIQUE (owner, id),
            FOREIGN KEY (owner, run_id) REFERENCES runs (owner, id)
        );
INSERT INTO "approvals" VALUES(1,'ada','01a1f978-eabc-7b5e-b480-a161da1eadd9','01a1f946-10fa-75d6-bc90-bad06efdcd1b',1774749599999999,1,'{"id":"01a1f978-eabc-7b5e-b480-a161da1eadd9","owner":"ada","run_id":"01a1f946-10fa-75d6-bc90-bad06efdcd1b","agent_id":"reviewer","tool":"Bash","tool_use_id":"toolu_1","input":{"command":"step 0"},"reason":null,"created_at":"2026-03-29T01:59:59.999999Z","decision":null,"message":null,"decided_at":null,"decided_by":null,"closed":false}');
CREATE TABLE events (
            key     INTEGER PRIMARY KEY,
            time    INTEGER NOT NULL,
            type    TEXT NOT NULL,
            payload TEXT NOT NULL
        );
INSERT INTO "events" VALUES(4294967297,1774749600000000,'message','{"n":1}');
INSERT INTO "events" VALUES(4294967298,1774749600000001,'message','{"n":2}');
INSERT INTO "events" VALUES(4294967299,1774749600000002,'message','{"n":3}');
CREATE TABLE outbox (
            position INTEGER PRIMARY KEY,
            kind     TEXT NOT NULL,
            owner    TEXT NOT NULL,
            key      TEXT NOT NULL,
            version  INTEGER NOT NULL,
            bytes    INTEGER NOT NULL,
            since    INTEGER NOT NULL,
            trouble  TEXT,
            UNIQUE (kind, owner, key)
        );
INSERT INTO "outbox" VALUES(1,'run','ada','01a1f946-10fa-75d6-bc90-bad06efdcd1b',7,120,1774749600000000,NULL);
CREATE TABLE replica (
            name  TEXT PRIMARY KEY,
            value TEXT NOT NULL
        ) WITHOUT ROWID
        ;
INSERT INTO "replica" VALUES('adopted','yes');
CREATE TABLE revisions (
            owner    TEXT NOT NULL,
            agent_id TEXT NOT NULL,
            revision INTEGER NOT NULL,
            record   TEXT NOT NULL,
            PRIMARY KEY (owner, agent_id, revision),
            FOREIGN KEY (owner, agent_id) REFERENCES agents (owner, id)
        );
INSERT INTO "revisions" VALUES('ada','reviewer',1,'{"name":"Reviewer","description":"","instructions":"","model":null,"tools":null,"disallowed_tools":[],"permission_mode":"default","mcp_servers":{},"directory":null,"max_turns":null,"max_budget_usd":null,"timeout_s":null,"front_matter":{},"id":"reviewer","owner":"ada","revision":1,"created_at":"2026-03-29T01:59:59.999999Z","updated_at":"2026-03-29T01:59:59.999999Z"}');
INSERT INTO "revisions" VALUES('ada','reviewer',2,'{"name":"Second","description":"","instructions":"","model":null,"tools":null,"disallowed_tools":[],"permission_mode":"default","mcp_servers":{},"directory":null,"max_turns":null,"max_budget_usd":null,"timeout_s":null,"front_matter":{},"id":"reviewer","owner":"ada","revision":2,"created_at":"2026-03-29T01:59:59.999999Z","updated_at":"2026-03-29T01:59:59.999999Z"}');
INSERT INTO "revisions" VALUES('ada','deleted',1,'{"name":"Deleted","description":"","instructions":"","model":null,"tools":null,"disallowed_tools":[],"permission_mode":"default","mcp_servers":{},"directory":null,"max_turns":null,"max_budget_usd":null,"timeout_s":null,"front_matter":{},"id":"deleted","owner":"ada","revision":1,"created_at":"2026-03-29T01:59:59.999999Z","updated_at":"2026-03-29T01:59:59.999999Z"}');
CREATE TABLE runs (
            number          INTEGER PRIMARY KEY,
            owner           TEXT NOT NULL,
            id              TEXT NOT NULL,
            agent_id        TEXT NOT NULL,
            agent_revision  INTEGER NOT NULL,
            trigger         TEXT NOT NULL,
            status          TEXT NOT NULL,
            session_id      TEXT NOT NULL,
            conversation_id TEXT NOT NULL,
            continues       TEXT,
            created_at      INTEGER NOT NULL,
            started_at      INTEGER,
            finished_at     INTEGER,
            turns           INTEGER NOT NULL,
            usage           TEXT NOT NULL,
            error           TEXT,
            notice          TEXT,
            prompt          TEXT NOT NULL,
            result          TEXT, agent_owner TEXT,
            UNIQUE (owner, id)
        );
INSERT INTO "runs" VALUES(1,'ada','01a1f946-10fa-75d6-bc90-bad06efdcd1b','reviewer',1,'api','succeeded','80d34d00-9e61-44ee-a19c-e5575c81b358','01a1f946-10fa-75d6-bc90-bad06efdcd1b',NULL,1774749599999999,NULL,NULL,2,'{"models":{},"cost_usd":0.0}',NULL,NULL,'Task 0','Done.',NULL);
CREATE TABLE shares (
            owner    TEXT NOT NULL,
            agent_id TEXT NOT NULL,
            kind     TEXT NOT NULL,
            name     TEXT NOT NULL,
            record   TEXT NOT NULL,
            PRIMARY KEY (owner, agent_id, kind, name),
            FOREIGN KEY (owner, agent_id) REFERENCES agents (owner, id)
        ) WITHOUT ROWID
        ;
INSERT INTO "shares" VALUES('ada','reviewer','group','readers','{"owner":"ada","agent_id":"reviewer","kind":"group","name":"readers","access":"copy","revision":2,"created_at":"2026-03-29T01:59:59.999999Z"}');
CREATE TABLE transcript_entries (
            key        INTEGER PRIMARY KEY,
            transcript INTEGER NOT NULL,
            uuid       TEXT,
            entry      TEXT NOT NULL
        );
INSERT INTO "transcript_entries" VALUES(4294967297,1,'uuid-1','{"type":"user","uuid":"uuid-1","n":1}');
INSERT INTO "transcript_entries" VALUES(4294967298,1,'uuid-2','{"type":"user","uuid":"uuid-2","n":2}');
INSERT INTO "transcript_entries" VALUES(4294967299,1,NULL,'{"type":"mode"}');
CREATE TABLE transcripts (
            number      INTEGER PRIMARY KEY,
            owner       TEXT NOT NULL,
            project_key TEXT NOT NULL,
            session_id  TEXT NOT NULL,
            subpath     TEXT NOT NULL,
            modified_at INTEGER NOT NULL,
            UNIQUE (owner, project_key, session_id, subpath)
        );
INSERT INTO "transcripts" VALUES(1,'ada','project','session','',1774749599999);
CREATE INDEX runs_newest ON runs (owner, created_at, id, status);
CREATE INDEX runs_of_conversation ON runs (owner, conversation_id, created_at, id, status, agent_id);
CREATE INDEX approvals_newest ON approvals (owner, created_at, id, waiting);
CREATE INDEX approvals_of_run ON approvals (owner, run_id, created_at, id, waiting);
CREATE INDEX approvals_waiting ON approvals (owner, created_at, id) WHERE waiting = 1;
CREATE UNIQUE INDEX transcript_uuids ON transcript_entries (transcript, uuid) WHERE uuid IS NOT NULL;
CREATE INDEX runs_of_agent ON runs (owner, agent_id, agent_owner, created_at, id, status);
CREATE INDEX shares_with ON shares (kind, name, owner, agent_id);
COMMIT;
PRAGMA application_id = 1246249287;
PRAGMA user_version = 4;

"""The document that describes the API."""

from __future__ import annotations

from typing import Annotated, Any

import schemathesis
from msgspec import Meta, Struct
from schemathesis.core.result import Err
from twisted.trial.unittest import SynchronousTestCase

from iptvd.web.openapi import document
from iptvd.web.operations import Call, Operation, Query
from tests.web.asking import Program


class Thing(Struct):
    """Something."""

    size: Annotated[int, Meta(ge=1)]


class Change(Struct):
    """What can be different."""

    size: int = 0


async def nothing(call: Call) -> None:
    """It does nothing."""


OPERATIONS = (
    Operation("POST", "/things", "Make one", nothing, Thing, Thing, status=201, errors=(409,)),
    Operation("PUT", "/things/{id}/parts/{part}", "Change one", nothing, None, Change),
    Operation(
        "GET",
        "/api/things",
        "All",
        None,
        Thing,
        query=(Query("limit", "How many.", Annotated[int, Meta(le=9)]), Query("q", "Words.", required=True)),
        manages=False,
    ),
    Operation("GET", "/api/happening", "All that happens", None, None, content_type="text/event-stream"),
)


class DocumentTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.document = document(OPERATIONS)
        self.paths = self.document["paths"]

    def test_bodies_and_answers(self) -> None:
        """What is taken and what is answered is described by the types that requests are checked against."""
        made = self.paths["/things"]["post"]
        reference = {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}
        self.assertEqual(made["requestBody"], {"required": True, "content": reference})
        self.assertEqual(made["responses"]["201"], {"description": "Created", "content": reference})
        size = self.document["components"]["schemas"]["Thing"]["properties"]["size"]
        self.assertEqual(size, {"type": "integer", "minimum": 1})
        changed = self.paths["/things/{id}/parts/{part}"]["put"]
        self.assertFalse(changed["requestBody"]["required"])
        self.assertEqual(changed["responses"]["204"], {"description": "No Content"})
        happening = self.paths["/api/happening"]["get"]["responses"]["200"]["content"]
        self.assertEqual(happening, {"text/event-stream": {"schema": {"type": "string"}}})

    def test_arguments(self) -> None:
        """What stands in the path and in the query is described."""
        names = [each["name"] for each in self.paths["/things/{id}/parts/{part}"]["put"]["parameters"]]
        self.assertEqual(names, ["id", "part"])
        limit, words = self.paths["/api/things"]["get"]["parameters"]
        self.assertEqual((limit["in"], limit["required"], limit["description"]), ("query", False, "How many."))
        self.assertEqual(limit["schema"], {"type": "integer", "maximum": 9})
        self.assertTrue(words["required"])

    def test_problems(self) -> None:
        """Every refusal there can be is described as problem details."""
        for path, method, own in (
            ("/things", "post", {"409", "413", "415", "422"}),
            ("/api/things", "get", {"422"}),
            ("/api/happening", "get", set()),
        ):
            responses = self.paths[path][method]["responses"]
            refusals = {status: each for status, each in responses.items() if status >= "400"}
            self.assertEqual(refusals.keys(), own | {"401", "403", "404", "414", "429", "503"}, path)
            # Of an address that is too long nothing is read.
            self.assertNotIn("content", refusals.pop("414"))
            for each in refusals.values():
                schema = each["content"]["application/problem+json"]["schema"]
                self.assertEqual(schema, {"$ref": "#/components/schemas/Problem"})

    def test_who_may(self) -> None:
        """How one shows who one is is described; what needs nothing of that everywhere says so."""
        schemes = self.document["components"]["securitySchemes"].keys()
        managers = [name for each in self.paths["/things"]["post"]["security"] for name in each]
        self.assertEqual({*managers, "basic"}, set(schemes))
        self.assertIn({}, self.paths["/api/things"]["get"]["security"])


class WholeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.program = Program(self)
        self.document: Any = self.program.told("GET", "/api/openapi.json")

    def test_a_judge(self) -> None:
        """A program that reads such documents finds nothing wrong with all of ours."""
        schema = schemathesis.openapi.from_dict(self.document)
        schema.validate()
        operations = list(schema.get_all_operations())
        self.assertEqual([each for each in operations if isinstance(each, Err)], [])
        self.assertGreater(len(operations), 10)
        names = [each["operationId"] for path in self.document["paths"].values() for each in path.values()]
        self.assertEqual(len(names), len(set(names)))
        self.assertEqual(len(operations), len(names))
        for each in (each for path in self.document["paths"].values() for each in path.values()):
            arguments = [argument["name"] for argument in each.get("parameters", ())]
            self.assertEqual(len(arguments), len(set(arguments)), each["operationId"])

    def test_where_we_are(self) -> None:
        """It says where we are as whoever asks sees us, and is for those who may watch."""
        self.assertEqual(self.document["servers"], [{"url": "http://127.0.0.1"}])
        self.program.stage.trust(trusted_networks=(), api_token="secret")
        self.program.problem(403, "GET", "/api/openapi.json")

    def test_what_is_described_is_there(self) -> None:
        """Every address that is described answers the methods that are, and tells them."""
        for template, methods in self.document["paths"].items():
            answer = self.program.ask("OPTIONS", template.replace("{", "").replace("}", ""))
            self.assertEqual(answer.status, 204, template)
            self.assertGreaterEqual(set(answer.headers["Allow"].split(", ")), {each.upper() for each in methods})

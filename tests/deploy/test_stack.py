"""deploy/aws/newswire.yaml: cfn-lint finds nothing, and a simulated AWS makes what it says and takes it away again.

The simulation (moto) runs in this process. It knows no secrets and no wait conditions in templates, and forgets route tables.
"""

from __future__ import annotations

import ast
import base64
import logging
import re
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import boto3
import cfnlint.api
import cfnlint.decode
import pytest
from moto import mock_aws

TEMPLATE: Final = Path(__file__).resolve().parents[2] / "deploy" / "aws" / "newswire.yaml"
REGION: Final = "eu-central-1"
PORT: Final = 5053
VALUES: Final = {
    "ReleaseUrl": "s3://releases/newswire-1.2.3.tar.gz",
    "ReleaseSha256": "0" * 64,
    "FirstZone": f"{REGION}a",
    "SecondZone": f"{REGION}b",
    "ClientCidr": "192.0.2.0/24",
}


class Account:
    """An account of the simulated AWS, with one stack."""

    def __init__(self) -> None:
        self.cloudformation = boto3.client("cloudformation", region_name=REGION)
        self.ec2 = boto3.client("ec2", region_name=REGION)
        self.iam = boto3.client("iam", region_name=REGION)
        self.elb = boto3.client("elbv2", region_name=REGION)

    def make(self, **more: str) -> dict[str, str]:
        """Create the stack; its outputs."""
        image = self.ec2.describe_images()["Images"][0]["ImageId"]
        values = VALUES | {"FirstImageId": image, "SecondImageId": image} | more
        parameters = [{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is not simulated
            self.cloudformation.create_stack(
                StackName="news", TemplateBody=TEMPLATE.read_text(), Parameters=parameters, Capabilities=["CAPABILITY_IAM"]
            )
        stack = self.cloudformation.describe_stacks(StackName="news")["Stacks"][0]
        assert stack["StackStatus"] == "CREATE_COMPLETE"
        return {one["OutputKey"]: one["OutputValue"] for one in stack.get("Outputs", ())}

    def delete(self) -> None:
        """Delete the stack, and the route tables that the simulation forgets."""
        for table in self.ec2.describe_route_tables()["RouteTables"]:
            if not any(link["Main"] for link in table["Associations"]):
                self.ec2.delete_route_table(RouteTableId=table["RouteTableId"])
        self.cloudformation.delete_stack(StackName="news")

    def instances(self) -> list[Any]:
        """Those that run, by name."""
        running = [{"Name": "instance-state-name", "Values": ["running"]}]
        groups = self.ec2.describe_instances(Filters=running)["Reservations"]
        return sorted((one for group in groups for one in group["Instances"]), key=name_of)

    def interfaces(self) -> list[Any]:
        """Those of brokers, by what they say they are: the simulation gives its instances others."""
        brokers = [
            one for one in self.ec2.describe_network_interfaces()["NetworkInterfaces"] if "newswire" in one["Description"]
        ]
        return sorted(brokers, key=lambda one: str(one["Description"]))

    def volumes(self) -> list[Any]:
        """Those for messages."""
        return [one for one in self.ec2.describe_volumes()["Volumes"] if one["Size"] == 20]

    def user_data(self, instance: Any) -> str:
        """What an instance runs at its first start."""
        answer = self.ec2.describe_instance_attribute(InstanceId=instance["InstanceId"], Attribute="userData")
        return base64.b64decode(answer["UserData"]["Value"]).decode()

    def ways_in(self, word: str) -> set[tuple[int, str]]:
        """Of the group whose name has `word`: ports, and who reaches them: addresses, or groups."""
        groups = {one["GroupId"]: one for one in self.ec2.describe_security_groups()["SecurityGroups"]}
        names = {id: "BalancerGroup" if "Balancer" in one["GroupName"] else "BrokerGroup" for id, one in groups.items()}
        rules = [rule for one in groups.values() if word in one["GroupName"] for rule in one["IpPermissions"]]
        assert all(rule["FromPort"] == rule["ToPort"] for rule in rules)
        addresses = {(rule["FromPort"], pair["CidrIp"]) for rule in rules for pair in rule["IpRanges"]}
        return addresses | {(rule["FromPort"], names[pair["GroupId"]]) for rule in rules for pair in rule["UserIdGroupPairs"]}


def name_of(thing: Any) -> str:
    return next(tag["Value"] for tag in thing["Tags"] if tag["Key"] == "Name")


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    """An account with nothing of ours in it."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    logging.getLogger("moto").setLevel(logging.ERROR)
    with mock_aws():
        yield Account()


def settings(user_data: str) -> dict[str, str]:
    """What the user data says that differs from broker to broker."""
    lines = user_data.partition("<< 'END'\n")[2].partition("\nEND\n")[0].splitlines()
    return {name: value.strip("'") for name, _, value in (line.partition("=") for line in lines)}


def test_cfn_lint_finds_nothing() -> None:
    assert [f"{one.linenumber}: {one}" for one in cfnlint.api.lint_file(TEMPLATE)] == []


def test_a_vpc_that_is_made_and_a_balancer(account: Account) -> None:
    outputs = account.make()
    first, second = account.instances()
    zones = [VALUES["FirstZone"], VALUES["SecondZone"]]
    assert [one["AvailabilityZone"] for one in account.interfaces()] == zones
    assert account.ways_in("BrokerGroup") == {(PORT, "BrokerGroup"), (PORT, "BalancerGroup")}
    assert account.ways_in("BalancerGroup") == {(80, VALUES["ClientCidr"]), (443, VALUES["ClientCidr"])}
    assert sorted(one["AvailabilityZone"] for one in account.volumes()) == zones

    texts = [account.user_data(one) for one in (first, second)]
    one, two = map(settings, texts)
    assert (one["ID"], one["PRIMARY"], two["ID"], two["PRIMARY"]) == ("1001", "--primary", "1002", "")
    assert (one["OWN_ADDRESS"], one["PEER_ADDRESS"]) == (two["PEER_ADDRESS"], two["OWN_ADDRESS"])
    assert one["OWN_ADDRESS"] in outputs["FirstUrl"]
    assert {one["VOLUME"], two["VOLUME"]} == {volume["VolumeId"] for volume in account.volumes()}
    assert one["BALANCER"] in outputs["Url"]
    for text in texts:
        assert subprocess.run(["sh", "-n"], input=text, text=True, check=False).returncode == 0
    assert len({text.partition("\nEND\n")[2] for text in texts}) == 1, "what is done is the same on both"

    balancer = account.elb.describe_load_balancers()["LoadBalancers"][0]["LoadBalancerArn"]
    listener = account.elb.describe_listeners(LoadBalancerArn=balancer)["Listeners"][0]["ListenerArn"]
    rules = account.elb.describe_rules(ListenerArn=listener)["Rules"]
    (hidden,) = [rule for rule in rules if rule["Actions"][0]["Type"] == "fixed-response"]
    assert hidden["Conditions"][0]["PathPatternConfig"]["Values"] == ["/replicate", "/heartbeat/receive"]

    account.delete()
    assert account.instances() == []
    assert account.ways_in("BrokerGroup") == set()
    assert all(one["IsDefault"] for one in account.ec2.describe_vpcs()["Vpcs"])


def test_a_vpc_that_is_there_and_public_addresses(account: Account) -> None:
    vpc = account.ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        account.ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.9.{n}.0/24", AvailabilityZone=zone)["Subnet"]["SubnetId"]
        for n, zone in enumerate((VALUES["FirstZone"], VALUES["SecondZone"]))
    ]
    place = {"VpcId": vpc, "FirstSubnetId": subnets[0], "SecondSubnetId": subnets[1], "VpcCidr": "10.9.0.0/16"}
    outputs = account.make(**place, Entrance="elastic-ips", Auth="none", CloudWatch="no", SessionManager="no")
    assert [one["SubnetId"] for one in account.interfaces()] == subnets
    assert account.ways_in("BrokerGroup") == {(PORT, "BrokerGroup"), (PORT, VALUES["ClientCidr"])}
    public = {one["PublicIp"] for one in account.ec2.describe_addresses()["Addresses"]}
    assert {outputs[name] for name in ("FirstUrl", "SecondUrl")} == {f"http://{address}:{PORT}" for address in public}
    assert outputs.keys() == {"FirstUrl", "SecondUrl"}
    account.delete()
    assert account.instances() == []
    assert account.ways_in("BrokerGroup") == set()


def test_a_broker_that_is_absent_leaves_its_disk_and_address_and_who_is_there_may_read_its_own_secrets(
    account: Account,
) -> None:
    account.make(SecondState="absent", Entrance="private", SessionManager="no")
    (first,) = account.instances()
    assert name_of(first) == "news 1001"
    assert len(account.volumes()) == len(account.interfaces()) == 2
    assert settings(account.user_data(first))["PEER_ADDRESS"] == account.interfaces()[1]["PrivateIpAddress"]

    role = next(one["RoleName"] for one in account.iam.list_roles()["Roles"] if "news" in one["RoleName"])
    assert account.iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"] == []
    policy = account.iam.get_role_policy(RoleName=role, PolicyName="own-secrets-and-release")["PolicyDocument"]
    document = ast.literal_eval(policy) if isinstance(policy, str) else policy  # the simulation has it as Python prints it
    statements = [one for one in document["Statement"] if one]  # and leaves "" for what is not there
    rights = [(action, one["Resource"]) for one in statements for action in in_a_list(one["Action"])]
    assert {action for action, _ in rights} == {
        "secretsmanager:GetSecretValue", "ssm:GetParameter", "s3:GetObject", "cloudwatch:PutMetricData",
        "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents",
    }  # fmt: skip
    assert [action for action, resource in rights if resource == "*"] == ["cloudwatch:PutMetricData"]
    assert dict(rights)["s3:GetObject"] == "arn:aws:s3:::releases/newswire-1.2.3.tar.gz"


def in_a_list(one: str | list[str]) -> list[str]:
    return [one] if isinstance(one, str) else one


@pytest.fixture(scope="module")
def template() -> Any:
    decoded, problems = cfnlint.decode.decode(str(TEMPLATE))
    assert problems == []
    return decoded


def test_all_disks_are_encrypted_and_messages_outlive_the_stack(template: Any) -> None:
    resources = template["Resources"].values()
    disks = [one for one in resources if one["Type"] == "AWS::EC2::Volume"]
    assert [one["DeletionPolicy"] for one in disks] == [one["UpdateReplacePolicy"] for one in disks] == ["Snapshot"] * 2
    assert all(one["Properties"]["Encrypted"] for one in disks)
    for instance in (one["Properties"] for one in resources if one["Type"] == "AWS::EC2::Instance"):
        assert all(disk["Ebs"]["Encrypted"] for disk in instance["BlockDeviceMappings"])
        assert instance["MetadataOptions"]["HttpTokens"] == "required"


def test_each_parameter_is_shown_in_a_group_and_used(template: Any) -> None:
    groups = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    shown = [name for group in groups for name in group["Parameters"]]
    assert sorted(shown) == sorted(template["Parameters"])
    text = TEMPLATE.read_text()
    assert [name for name in shown if not re.search(rf"!Ref {name}\b|\$\{{{name}\}}", text)] == []

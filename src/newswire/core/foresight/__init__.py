"""What is to come, from what was: rates, disks, peers and topics, each with its band. Pure: times are handed in.

It only warns. No rule of the core follows from anything here.
"""

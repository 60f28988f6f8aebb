"""The order of things: collect, learn, federate, evaluate, report; and the command line."""
